import { expect, test } from 'vitest'
import { StatusPoller } from '../../src/tui/status-poller.ts'
import type { StatusView } from '../../src/tui/status-view.ts'
import { remoteStatus, statusDocument } from './status-fixture.ts'

test('an answer that arrives after the screen was left is not drawn', async () => {
  const answer = Promise.withResolvers<ReturnType<typeof statusDocument>>()
  const views: StatusView[] = []
  const poller = new StatusPoller({
    source: { status: () => answer.promise },
    url: 'http://127.0.0.1:8080',
    intervalMs: 60_000,
    onView: (view) => views.push(view),
    onError: (error) => {
      throw error
    },
  })
  poller.start()
  poller.stop()
  answer.resolve(statusDocument(remoteStatus()))
  await new Promise((resolve) => setImmediate(resolve))
  expect(poller.view.asOf).toBeInstanceOf(Date)
  expect(views).toEqual([])
})
