import { expect, test } from 'vitest'
import type { RemoteStatus } from '../../src/admin/protocol.ts'
import { firstAnswer } from '../../src/cli/first-answer.ts'
import { remoteStatus, statusDocument } from '../tui/status-fixture.ts'

const twoAddresses = 'http://127.0.0.1:9, http://127.0.0.1:8081'

/** A site whose remote is in one state after the other, and in the last one from then on. */
function siteWith(...remotes: RemoteStatus[]) {
  return {
    status: async () => {
      const remote = remotes.length > 1 ? remotes.shift() : remotes[0]
      return statusDocument(...(remote === undefined ? [] : [remote]))
    },
  }
}

test('of several addresses one that is down is not what the remote says', async () => {
  const site = siteWith(
    remoteStatus({ state: 'unreachable', url: twoAddresses }),
    remoteStatus({ state: 'idle', url: twoAddresses }),
  )
  expect((await firstAnswer(site, 'site-b'))?.state).toBe('idle')
})

test('a single address that is down is told at once', async () => {
  const site = siteWith(remoteStatus({ state: 'unreachable' }), remoteStatus({ state: 'idle' }))
  expect((await firstAnswer(site, 'site-b'))?.state).toBe('unreachable')
})
