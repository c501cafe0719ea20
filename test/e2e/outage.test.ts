import { afterEach, beforeEach, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import { inParallel } from './parallel.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { TestBed } from './site-process.ts'

const count = 12_000

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('12,000 objects written while B is down arrive, though A is killed before B is back', async () => {
  const b = await bed.site('b', accepting).start()
  const a = await bed.site('a', shippingTo(b.url)).start()
  await a.put('/before/one', 'one')
  await a.shipped()
  await b.kill()

  await inParallel(64, count, (i) => a.put(`/outage/${i % 100}/${i}`, bytesOf(i, 100 + (i % 900))))
  const atOutage = await a.statusWhen(
    'A has noticed',
    ({ remotes }) => remotes[0]?.state === 'unreachable',
  )
  // The creation of the bucket is a change, too.
  expect(atOutage).toMatchObject({ pending: count + 1, events_failed: 0, events_superseded: 0 })
  expect(atOutage.lag_seconds).toBeGreaterThan(0)

  await a.kill()
  await a.start()
  const afterKill = await a.status()
  expect(afterKill.pending).toBe(count + 1)
  expect(afterKill.events_queued).toBe(atOutage.events_queued)
  expect(afterKill.events_replicated).toBe(atOutage.events_replicated)

  await b.start()
  let pending = afterKill.pending
  const done = await a.statusWhen('all has arrived', (status) => {
    expect(status.pending).toBeLessThanOrEqual(pending)
    pending = status.pending
    return status.pending === 0
  })
  expect(done).toMatchObject({ events_failed: 0, events_superseded: 0, lag_seconds: 0 })
  expect(done.events_queued).toBe(atOutage.events_queued)
  expect(done.remotes[0]).toMatchObject({ state: 'idle', pending_bytes: 0, oldest_pending: null })
  expect(await a.json('GET', '/admin/replication/failed')).toEqual({ failed: [] })

  const objects = await expectEqualBuckets([a, b], 'outage', 400)
  expect(objects).toHaveLength(count)
  await expectEqualBuckets([a, b], 'before', 1)
})
