import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FeedPlace, RemoteLedger, ReplayFilter } from '../../src/store/model/object-store.ts'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
let ledger: RemoteLedger
beforeEach(async () => {
  store = await TestStore.open()
  ledger = await store.engine.ledger('default')
})
afterEach(() => store.remove())

const reopen = async (): Promise<void> => {
  await store.reopen()
  ledger = await store.engine.ledger('default')
}

const putMany = (bucket: string, count: number, prefix = 'k') =>
  Promise.all(Array.from({ length: count }, (_, i) => store.put(bucket, `${prefix}${i}`, 'x')))

const settle = (places: readonly FeedPlace[]): Promise<void> =>
  ledger.settle(places.map((place) => ({ place, result: 'replicated', remote: 'applied' })))

/** Sends everything; how many places were taken, and how many were outstanding at the most. */
async function drain(room = 500): Promise<{ readonly taken: FeedPlace[]; readonly most: number }> {
  const taken: FeedPlace[] = []
  let most = 0
  for (;;) {
    const places = await ledger.take(room)
    if (places.length === 0) return { taken, most }
    most = Math.max(most, ledger.counters().pending)
    taken.push(...places)
    await settle(places)
    balance()
  }
}

function balance(): void {
  const { queued, replicated, failed, superseded, pending } = ledger.counters()
  expect(queued).toBe(replicated + failed + superseded + pending)
}

const select = (filter: ReplayFilter, dryRun = false) =>
  ledger.replay({ select: filter }, { dryRun })

const keysOf = (places: readonly FeedPlace[]): readonly string[] =>
  places.map(({ slot }) => (slot.kind === 'object' ? `${slot.bucket}/${slot.key}` : slot.bucket))

describe('a replay of a selection', () => {
  it('sends what a bucket, a prefix or a time selects again, and nothing else', async () => {
    store.skewMs = -3_600_000
    await putMany('docs', 3, 'a/')
    await putMany('docs', 2, 'b/')
    await putMany('pics', 2)
    store.skewMs = 0
    const since = Date.now()
    await store.put('pics', 'late', 'x')
    await drain()
    const before = ledger.counters()
    expect(await select({ bucket: 'docs' }, true)).toEqual({ count: 6, bytes: 5 })
    expect(ledger.counters()).toEqual(before)
    expect(await select({ bucket: 'docs', prefix: 'a/' })).toEqual({ count: 3, bytes: 3 })
    expect(ledger.counters()).toMatchObject({ queued: before.queued + 3, pending: 3 })
    expect(keysOf((await drain()).taken)).toEqual(['docs/a/0', 'docs/a/1', 'docs/a/2'])
    expect(await select({ since })).toEqual({ count: 1, bytes: 1 })
    expect(keysOf((await drain()).taken)).toEqual(['pics/late'])
    expect(await select({ bucket: 'none' })).toEqual({ count: 0, bytes: 0 })
    expect(ledger.counters()).toMatchObject({ pending: 0, replaying: 0 })
  })

  it('queues a large selection in steps, so that little of it is outstanding at a time', async () => {
    await putMany('docs', 2000)
    await drain(2001)
    const { queued } = ledger.counters()
    expect(await select({ bucket: 'docs' })).toMatchObject({ count: 2001 })
    expect(ledger.counters()).toMatchObject({ pending: 1000, replaying: 1001 })
    expect(ledger.position().low).toBe(0)
    const { taken, most } = await drain(200)
    expect(taken).toHaveLength(2001)
    expect(most).toBeLessThanOrEqual(1100)
    expect(ledger.counters()).toMatchObject({ queued: queued + 2001, pending: 0, replaying: 0 })
    expect(ledger.position().low).toBe(store.engine.feed.head())
  })

  it('is over with the step that reaches its end, also when that fills the room', async () => {
    await putMany('docs', 999)
    await drain(1000)
    await select({ bucket: 'docs' })
    expect(ledger.counters()).toMatchObject({ pending: 1000, replaying: 0 })
  })

  it('goes on after a restart, while writers go on and are not kept waiting', async () => {
    await putMany('docs', 1600)
    await drain(1601)
    const { queued } = ledger.counters()
    await select({ bucket: 'docs' })
    await settle(await ledger.take(500))
    await reopen()
    balance()
    expect(ledger.counters().replaying).toBeGreaterThan(0)
    await putMany('docs', 400)
    await store.put('live', 'now', 'x')
    // What the restart left outstanding comes first; then both have half of the room.
    await settle(await ledger.take(1000))
    const mixed = keysOf(await ledger.take(1000))
    expect(mixed).toContain('live/now')
    await reopen()
    await drain()
    const counters = ledger.counters()
    expect(counters).toMatchObject({ pending: 0, replaying: 0 })
    // Overwritten ones have new places, sent for their own sake; the others were sent again.
    expect(counters.queued).toBeGreaterThanOrEqual(queued + 402 + 1201)
    expect(counters.queued).toBeLessThanOrEqual(queued + 402 + 1601)
  })

  it('of many dead letters goes in steps too, and closes each as it is queued', async () => {
    await putMany('docs', 1100)
    const places = await ledger.take(2000)
    await Promise.all(places.map((place) => ledger.bury(place, { reason: 'no', attempts: 1 })))
    expect(ledger.counters()).toMatchObject({ failed: 1101, pending: 0, openLetters: 1101 })
    expect(await ledger.replay({ from: 'failed' }, { dryRun: false })).toMatchObject({
      count: 1101,
    })
    expect(ledger.counters()).toMatchObject({ pending: 1000, replaying: 101, openLetters: 101 })
    const { taken } = await drain()
    expect(taken).toHaveLength(1101)
    expect(ledger.counters()).toMatchObject({ pending: 0, openLetters: 0, replicated: 1101 })
  })

  it('is overtaken by a replay of everything', async () => {
    await putMany('docs', 1100)
    await drain(1101)
    await select({ bucket: 'docs' })
    await ledger.replay({ from: 0 }, { dryRun: false })
    expect(ledger.counters()).toMatchObject({ pending: 1101, replaying: 0 })
    balance()
    expect((await drain()).taken).toHaveLength(1101)
  })

  it('selects only what concerns the remote', async () => {
    const filter = { ...wantsEverything, buckets: ['docs'] }
    await store.engine.remotes.link('b', { filter, settings: '{}', state: 'linked' })
    const linked = store.engine.remotes.list().find(({ name }) => name === 'b')
    if (linked === undefined) throw new Error('it was linked')
    ledger = linked.ledger
    await putMany('docs', 3)
    await putMany('pics', 3)
    await drain()
    expect(await select({}, true)).toMatchObject({ count: 4 })
    expect(await select({ since: 1 })).toMatchObject({ count: 4 })
    expect(keysOf((await drain()).taken)).toEqual(['docs', 'docs/k0', 'docs/k1', 'docs/k2'])
    expect(await select({ bucket: 'pics' })).toMatchObject({ count: 0 })
  })

  it('is refused when too many are under way', async () => {
    await putMany('docs', 1050)
    await drain(1051)
    const begin = () => select({ bucket: 'docs' })
    for (let i = 0; i < 16; i++) await begin()
    await expect(begin()).rejects.toMatchObject({ code: 'TOO_MANY_REPLAYS' })
    await drain()
    expect(ledger.counters()).toMatchObject({ pending: 0, replaying: 0 })
  })
})
