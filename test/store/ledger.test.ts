import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FeedPlace, RemoteLedger } from '../../src/store/model/object-store.ts'
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

const settle = (places: readonly FeedPlace[]): Promise<void> =>
  ledger.settle(places.map((place) => ({ place, result: 'replicated', remote: 'applied' })))

/** The equation of the status document, and pending against a recount of the feed. */
const check = async (): Promise<void> => {
  const { queued, replicated, failed, superseded, pending, pendingBytes } = ledger.counters()
  expect(queued).toBe(replicated + failed + superseded + pending)
  const places = await store.engine.feed.readPlaces(0, 100_000)
  const open = places.filter((place) => ledger.isPending(place))
  expect(pending).toBe(open.length)
  expect(pendingBytes).toBe(open.reduce((sum, place) => sum + place.bytes, 0))
}

const putMany = (count: number, prefix = 'k') =>
  Promise.all(Array.from({ length: count }, (_, i) => store.put('photos', `${prefix}${i}`, `${i}`)))

describe('a ledger of a store', () => {
  it('owes everything that was stored before it was begun, and nothing that was deleted', async () => {
    await putMany(10)
    await store.engine.deleteObject({ bucket: 'photos', key: 'k3' })
    const late = await store.engine.ledger('late')
    expect(late.counters()).toMatchObject({ queued: 10, pending: 10, lastReplication: null })
    expect(await late.take(100)).toHaveLength(10)
  })

  it('puts done places back one by one, counts them as queued again, and hands them out anew', async () => {
    await putMany(6)
    const places = await ledger.take(100)
    await settle(places.slice(0, 4))
    const [first, second, third] = places as [FeedPlace, FeedPlace, FeedPlace]
    await ledger.bury(places[4] as FeedPlace, { reason: 'no', attempts: 1 })
    await store.put('photos', 'k1', 'moved to another place')
    const gone = places.find(({ slot }) => slot.kind === 'object' && slot.key === 'k1')
    let rewinds = 0
    ledger.onRewind(() => rewinds++)
    const asked = [first, second, third, places[4], places[5], gone].map((place) => place?.seq ?? 0)
    const moved = new Set([gone?.seq])
    const expected = new Set(
      [first, second, third, places[4]].map((place) => place?.seq).filter((seq) => !moved.has(seq)),
    )
    expect(await ledger.requeue(asked)).toBe(expected.size)
    expect(rewinds).toBe(1)
    expect(await ledger.deadLetters(10)).toEqual([])
    await check()
    await reopen()
    await check()
    const again = (await ledger.take(100)).map(({ seq }) => seq)
    expect(again).toEqual(expect.arrayContaining([...expected] as number[]))
    expect(await ledger.requeue(asked)).toBe(0)
  })

  it('hands each place out once, in order, and what was not settled again after a restart', async () => {
    await putMany(10)
    const first = await ledger.take(4)
    const second = await ledger.take(100)
    expect([...first, ...second].map((place) => place.seq)).toEqual(
      Array.from({ length: 11 }, (_, i) => i + 1),
    )
    await settle([...first.slice(1), ...second.slice(0, 2)])
    await check()
    expect(ledger.position()).toEqual({ low: 0, high: 11 })
    await reopen()
    await check()
    const again = await ledger.take(100)
    expect(again.map((place) => place.seq)).toEqual([1, 7, 8, 9, 10, 11])
    await settle(again)
    expect(ledger.counters()).toMatchObject({ queued: 11, replicated: 11, pending: 0 })
    expect(ledger.position().low).toBe(11)
    expect(await ledger.oldestPending()).toBeUndefined()
  })

  it('counts a place that a newer write took as superseded, once, taken or not', async () => {
    await store.put('photos', 'a', '1')
    const [, place] = await ledger.take(2)
    await store.put('photos', 'a', '22')
    await store.put('photos', 'a', '333')
    await check()
    expect(ledger.counters()).toMatchObject({
      queued: 4,
      superseded: 2,
      pending: 2,
      pendingBytes: 3,
    })
    if (place === undefined) throw new Error('two places were there')
    expect(ledger.isPending(place)).toBe(false)
    await settle([place])
    expect(ledger.counters()).toMatchObject({ replicated: 0, pending: 2 })
    expect(store.engine.feed.loadChange(place)).toBeUndefined()
  })

  it('keeps the age of a place that moves before it was shipped', async () => {
    store.skewMs = -60_000
    await store.put('photos', 'a', '1')
    const [bucket, place] = await ledger.take(2)
    if (bucket === undefined || place === undefined) throw new Error('two places were there')
    await settle([bucket])
    store.skewMs = 0
    await store.put('photos', 'a', '2')
    const [moved] = await ledger.take(1)
    expect(moved?.since).toBe(place.since)
    expect(await ledger.oldestPending()).toBe(place.since)
  })

  it('begins the age anew behind a place that is on the wire', async () => {
    store.skewMs = -60_000
    await store.put('photos', 'a', '1')
    const places = await ledger.take(2)
    ledger.launched(places)
    store.skewMs = 0
    await store.put('photos', 'a', '2')
    ledger.landed(places)
    const [moved] = await ledger.take(1)
    expect(moved?.since).toBeGreaterThan((places[1]?.since ?? 0) + 50_000)
  })

  it('lists dead letters until they are replayed or overtaken', async () => {
    await putMany(3)
    const places = await ledger.take(10)
    const letters = places.slice(1)
    for (const place of letters)
      await ledger.bury(place, { reason: 'remote returned 400: no', attempts: 3 })
    await check()
    expect(ledger.counters()).toMatchObject({ failed: 3, pending: 1 })
    await reopen()
    expect(await ledger.deadLetters(10)).toMatchObject([
      { seq: 2, reason: 'remote returned 400: no', attempts: 3 },
      { seq: 3 },
      { seq: 4 },
    ])
    await store.put('photos', 'k0', 'newer')
    expect((await ledger.deadLetters(10)).map((letter) => letter.seq)).toEqual([3, 4])
    expect(await ledger.replay({ from: 'failed' }, { dryRun: true })).toEqual({
      count: 2,
      bytes: 2,
    })
    expect(await ledger.replay({ from: 'failed' }, { dryRun: false })).toEqual({
      count: 2,
      bytes: 2,
    })
    await check()
    expect(await ledger.deadLetters(10)).toEqual([])
    expect(ledger.counters()).toMatchObject({ failed: 3, pending: 4 })
    const again = await ledger.take(10)
    expect(again.map((place) => place.seq)).toEqual([1, 3, 4, 5])
  })

  it('goes back to any place and counts what it regains as queued again', async () => {
    await putMany(20)
    let rewound = 0
    ledger.onRewind(() => rewound++)
    const places = await ledger.take(15)
    await settle(places.slice(2, 12))
    expect(await ledger.replay({ from: 5 }, { dryRun: true })).toMatchObject({ count: 7 })
    expect(await ledger.replay({ from: 5 }, { dryRun: false })).toMatchObject({ count: 7 })
    await check()
    expect((await ledger.take(100)).map((place) => place.seq)).toEqual([
      1,
      2,
      ...Array.from({ length: 16 }, (_, i) => i + 6),
    ])
    expect(await ledger.replay({ from: 100 }, { dryRun: false })).toEqual({ count: 0, bytes: 0 })
    expect(await ledger.replay({ from: 0 }, { dryRun: false })).toMatchObject({ count: 3 })
    await check()
    expect(ledger.counters().pending).toBe(21)
    expect(rewound).toBe(2)
    await reopen()
    await check()
  })

  it('stays exact while places come and go during a replay', async () => {
    await putMany(1200)
    for (let left = 1201; left > 0; ) {
      const places = await ledger.take(500)
      left -= places.length
      await settle(places)
    }
    const writing = (async () => {
      for (let round = 0; round < 6; round++) await putMany(200)
      await store.engine.purgeBucket('photos')
      await putMany(50, 'new')
    })()
    for (const from of [900, 300, 0]) {
      await ledger.replay({ from }, { dryRun: false })
      await settle(await ledger.take(100))
    }
    await writing
    await store.engine.deleteBucket('none').catch(() => undefined)
    await store.engine.purgeBucket('photos')
    await check()
    await reopen()
    await check()
  })

  it('hands out what others had taken again, when dead letters are replayed', async () => {
    await putMany(5)
    const places = await ledger.take(4)
    const [first, second] = places
    if (first === undefined || second === undefined) throw new Error('four places were there')
    await ledger.bury(first, { reason: 'no', attempts: 1 })
    await ledger.replay({ letters: [first.seq, 99] }, { dryRun: false })
    // Whoever took them drops them at a rewind.
    expect((await ledger.take(10)).map((place) => place.seq)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('closes discarded dead letters for good, and keeps them counted as failed', async () => {
    await putMany(3)
    const places = await ledger.take(10)
    for (const place of places.slice(1)) await ledger.bury(place, { reason: 'no', attempts: 1 })
    await settle(places.slice(0, 1))
    expect(ledger.deadLetter(3)).toMatchObject({ seq: 3, reason: 'no' })
    expect(await ledger.discard([3, 77])).toEqual({ count: 1, bytes: 1 })
    expect(await ledger.discard([3])).toEqual({ count: 0, bytes: 0 })
    expect(ledger.counters()).toMatchObject({ failed: 3, pending: 0, openLetters: 2 })
    await check()
    await reopen()
    expect((await ledger.deadLetters(10)).map(({ seq }) => seq)).toEqual([2, 4])
    expect((await ledger.deadLetters(10, 2)).map(({ seq }) => seq)).toEqual([4])
    expect(ledger.deadLetter(3)).toBeUndefined()
    expect(await ledger.discard('all')).toEqual({ count: 2, bytes: 2 })
    expect(await ledger.replay({ from: 'failed' }, { dryRun: false })).toMatchObject({ count: 0 })
    expect(ledger.counters()).toMatchObject({ failed: 3, openLetters: 0 })
    await check()
  })

  it('takes a discarded letter for given up, not for taken, until it is sent after all', async () => {
    await putMany(1)
    const places = await ledger.take(10)
    const last = places.at(-1) as FeedPlace
    await settle(places.slice(0, -1))
    await ledger.bury(last, { reason: 'no', attempts: 1 })
    let wasSeen = true
    const discarding = ledger.discard([last.seq])
    const look = async (): Promise<void> => {
      for (let turn = 0; turn < 100; turn++) {
        wasSeen &&= ledger.isBuried(last)
        await new Promise(setImmediate)
      }
    }
    await Promise.all([discarding, look()])
    expect([wasSeen, ledger.isBuried(last)]).toEqual([true, true])
    expect(await ledger.requeue([last.seq])).toBe(1)
    await settle(await ledger.take(10))
    expect(ledger.isBuried(last)).toBe(false)
    await check()
  })

  it('remembers what the remote confirmed', async () => {
    const peer = { volumeId: 'v', incarnation: 'i', through: 7, head: 9, sendAllUpTo: 5 }
    await ledger.confirmPeer(peer)
    await reopen()
    expect(ledger.confirmedPeer()).toEqual(peer)
  })
})
