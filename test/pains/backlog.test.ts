/**
 * What hurts users of other systems about the backlog, and about sites that are slow or gone. Each
 * test is named after a pain and asserts the rule that removes it. The tests share the sites, and
 * follow one another like the days of one outage.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { refusingChangesOf } from '../faults/refused-changes.ts'
import { TestSite } from '../server/test-site.ts'
import { passSeeds } from '../sim/run-seeds.ts'
import {
  addRemote,
  healthWhen,
  keysIn,
  metric,
  post,
  put,
  putEach,
  read,
  remoteWhen,
  settingsOf,
  shipped,
  statusOf,
} from './pain-sites.ts'

/** A ships to B over a link that fails, and later to C over one that does not. */
let a: TestSite
let b: TestSite
let c: TestSite
let link: FaultProxy

const settings = () => settingsOf('site-a', link.url, { queueSize: 4, workers: 2 })
const received = (result: string): Promise<number> =>
  metric(b, `comio_replication_received_events_total{kind="put",result="${result}"}`)

beforeAll(async () => {
  link = await FaultProxy.listen()
  link.weather = { kind: 'cut' }
  a = await TestSite.make()
  b = await TestSite.make()
  c = await TestSite.make()
  await b.start(settingsOf('site-b'))
  await c.start(settingsOf('site-c'))
  await a.start(settings())
})

afterAll(async () => {
  await Promise.all([a.remove(), b.remove(), c.remove()])
  await link.close()
})

describe('the pains of a backlog', () => {
  test('1. nobody can tell the backlog: objects, bytes and age of each remote are exact, over a restart and after kill -9', async () => {
    await putEach(
      a,
      40,
      (i) => `/docs/${i}`,
      () => 'x'.repeat(100),
    )
    await putEach(
      a,
      10,
      (i) => `/docs/${i}`,
      () => 'y'.repeat(50),
    )
    for (let i = 10; i < 15; i++) await a.send('DELETE', `/docs/${i}`)
    const { remotes } = await statusOf(a)
    // The creation of the bucket is a change; overwritten and deleted objects keep one place each.
    expect(remotes[0]).toMatchObject({ pending_events: 41, pending_bytes: 25 * 100 + 10 * 50 })
    const oldest = remotes[0]?.oldest_pending
    expect(oldest).toMatch(/Z$/)
    await a.stop()
    await a.start(settings())
    const after = (await statusOf(a)).remotes[0]
    expect(after).toMatchObject({ pending_events: 41, pending_bytes: 3000, oldest_pending: oldest })
    // The simulation counts everything again after each start, and finds what is reported.
    const totals = await passSeeds({ from: 117, count: 1 }, { twoWay: false })
    expect(totals.get('crash-kill')).toBeGreaterThan(1)
  })

  test('5. overflow drops silently: a backlog far beyond the window waits in the log, and grows by objects, not by writes', async () => {
    await putEach(a, 100, (i) => `/many/${i}`)
    await putEach(a, 100, (i) => `/many/${i % 10}`, String)
    const remote = await remoteWhen(a, 'A has noticed', ({ state }) => state === 'unreachable')
    expect(remote.pending_events).toBe(41 + 101)
    expect(remote).toMatchObject({ events_failed: 0, dead_letters: 0, cursor: 0 })
  })

  test('13. a slow or dead target hurts the source: writes are answered, and other remotes get them', async () => {
    link.weather = { kind: 'half-open', ends: 'reset' }
    await addRemote(a, { name: 'site-c', url: c.url })
    await putEach(a, 20, (i) => `/live/${i}`)
    const other = await shipped(a, 'site-c')
    expect(other).toMatchObject({ events_failed: 0, lag_p50_ms: expect.any(Number) })
    expect(await keysIn(c, 'live')).toHaveLength(20)
    expect(await keysIn(c, 'docs')).toHaveLength(35)
    const [dead] = (await statusOf(a)).remotes
    expect(dead).toMatchObject({ name: 'default', pending_events: 142 + 21, events_replicated: 0 })
  })

  test('2. after an outage catching up takes hours: it begins when the remote answers, from the log, and sends each change once', async () => {
    const before = (await statusOf(a)).remotes[0]
    link.joinTo(b.url)
    let pending = Number.POSITIVE_INFINITY
    const done = await remoteWhen(a, 'all has arrived', ({ pending_events }) => {
      expect(pending_events).toBeLessThanOrEqual(pending)
      pending = pending_events
      return pending_events === 0
    })
    expect(done).toMatchObject({ events_replicated: before?.pending_events, events_failed: 0 })
    expect(await received('applied')).toBe(35 + 100 + 20)
    expect([await received('duplicate'), await received('superseded')]).toEqual([0, 0])
    expect(done.rate).toBeGreaterThan(0)
    expect(await keysIn(b, 'many')).toHaveLength(100)
  })

  test('7. the head of the line is wedged and all looks healthy: a stall turns health red, says why, and ends without a restart', async () => {
    link.weather = { kind: 'half-open', ends: 'reset' }
    await put(a, '/docs/stalled', 'x')
    await remoteWhen(a, 'the stall shows', ({ stalled_since }) => stalled_since !== null)
    const { reasons } = await healthWhen(a, 'degraded')
    expect(reasons.join()).toMatch(/remote default is stalled: nothing was acknowledged since /)
    link.joinTo(b.url)
    await shipped(a)
    expect(await healthWhen(a, 'ok')).toMatchObject({ reasons: [] })
    expect(await read(b, '/docs/stalled')).toBe('x')
  })

  test('6. the position moves past failed changes: one that is refused blocks nothing, and is kept with its reason until it is sent', async () => {
    const refusing = await FaultProxy.listen(b.url)
    refusing.answerWith(refusingChangesOf('poisoned', b.url))
    try {
      link.joinTo(refusing.url)
      await put(a, '/docs/poisoned', 'poisoned')
      await putEach(a, 10, (i) => `/docs/behind-${i}`)
      const remote = await remoteWhen(
        a,
        'the others passed',
        ({ pending_events, dead_letters }) => {
          return pending_events === 0 && dead_letters === 1
        },
      )
      expect(remote).toMatchObject({ events_failed: 1, cursor: remote.head })
      expect(await read(b, '/docs/behind-9')).toBe('x')
      await a.stop()
      await a.start(settings())
      const { failed } = await a.json('GET', '/admin/replication/failed')
      expect(failed).toMatchObject([
        { key: 'poisoned', reason: expect.stringContaining('not this one') },
      ])
    } finally {
      await refusing.close()
    }
    link.joinTo(b.url)
    expect(await post(a, 'replication/failed/retry', { all: true })).toMatchObject({ count: 1 })
    await remoteWhen(a, 'it has arrived', ({ dead_letters, pending_events }) => {
      return dead_letters === 0 && pending_events === 0
    })
    expect(await read(b, '/docs/poisoned')).toBe('poisoned')
  })
})
