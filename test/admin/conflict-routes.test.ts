import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../src/admin/control-plane.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { exampleScrub } from './example-scrub.ts'
import { exampleVerify } from './example-verify.ts'
import { fakeTokens } from './fake-tokens.ts'
import { ListedConflicts } from './listed-conflicts.ts'

let conflicts: ListedConflicts
let plane: ControlPlane
let server: Server

const unasked = (): never => {
  throw new Error('nobody asks for this')
}

beforeEach(async () => {
  conflicts = new ListedConflicts()
  plane = await createControlPlane({
    store: { previewPurge: unasked, purgeBucket: unasked, headObject: () => undefined },
    conflicts,
    replication: {
      ...{ status: unasked, failed: unasked, replay: unasked },
      ...{ failedAt: unasked, retry: unasked, discard: unasked, changeRole: unasked },
      decide: unasked,
    },
    remotes: {
      list: unasked,
      add: unasked,
      set: unasked,
      remove: unasked,
      pause: unasked,
      resume: unasked,
    },
    tokens: fakeTokens,
    verify: exampleVerify([]),
    scrub: exampleScrub(),
    health: unasked,
    metrics: unasked,
    authorize: () => undefined,
    observe: () => undefined,
    logger: silentLogger,
    random: seededRandom(7),
  })
  server = createServer((request, response) => plane.handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await plane.close()
})

async function send(
  method: string,
  path: string,
  body?: object,
): Promise<{ readonly status: number; readonly text: string }> {
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  return { status: response.status, text: await response.text() }
}

describe('conflicts', () => {
  it('are listed with site, time, size and ETag of both sides', async () => {
    const { status, text } = await send('GET', '/admin/replication/conflicts')
    expect(status).toBe(200)
    const document = JSON.parse(text)
    expect(document).toMatchObject({ open: 1, noticed: 5, kept: 4, dropped: 0 })
    expect(document.conflicts).toEqual([
      {
        id: 3,
        bucket: 'docs',
        key: 'a',
        noticed_at: '2025-12-03T21:00:00.000Z',
        loser: {
          site: 'site-a',
          time: '1970-01-01T00:00:01.000Z',
          version: '0000000003e80000-site-a',
          kind: 'put',
          size: 3,
          etag: 'e'.repeat(32),
        },
        winner: {
          site: 'site-b',
          time: '1970-01-01T00:00:02.000Z',
          version: '0000000007d00000-site-b',
          kind: 'delete',
          size: null,
          etag: null,
        },
        kept_as: 'a.conflict-site-a-00000000000003e8',
        kept_now: false,
      },
    ])
  })

  it('are shown, settled and refused one by one', async () => {
    const path = '/admin/replication/conflicts'
    expect(JSON.parse((await send('GET', `${path}/3`)).text).id).toBe(3)
    expect((await send('GET', `${path}/4`)).status).toBe(404)
    expect((await send('GET', `${path}/x`)).status).toBe(400)
    const page = await send('GET', `${path}?limit=5&before=3`)
    expect(JSON.parse(page.text).conflicts).toEqual([])
    const settle = (id: number, keep: string) => send('POST', `${path}/${id}/resolve`, { keep })
    expect(JSON.parse((await settle(3, 'winner')).text)).toEqual({ resolved: 3, keep: 'winner' })
    expect((await settle(3, 'loser')).status).toBe(409)
    expect((await settle(3, 'neither')).status).toBe(400)
    expect(conflicts.done).toEqual(['3 winner'])
  })

  it("a bucket's policy is told and set, and only to what there is", async () => {
    const set = (policy: string | null) => send('POST', '/admin/docs/conflict-policy', { policy })
    const before = await send('GET', '/admin/docs/conflict-policy')
    expect(JSON.parse(before.text)).toEqual({ bucket: 'docs', policy: 'keep-both', own: false })
    expect(JSON.parse((await set('keep-both')).text).own).toBe(true)
    expect((await set(null)).status).toBe(200)
    expect((await set('newest')).status).toBe(400)
    expect((await send('GET', '/admin/nowhere/conflict-policy')).status).toBe(404)
    expect(conflicts.done).toEqual(['docs keep-both', 'docs undefined'])
  })
})
