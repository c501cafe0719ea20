/** What was given up for a remote: for as long as its places are there, whatever becomes of the index. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ByteReader } from '../../src/base/byte-reader.ts'
import {
  type Discards,
  decodeDiscards,
  encodeDiscards,
  fitting,
  isDiscarded,
  noDiscards,
  withLetters,
  withoutPlaces,
  withoutRange,
  withRemovals,
} from '../../src/store/model/discards.ts'
import type { FeedPlace, RemoteLedger } from '../../src/store/model/object-store.ts'
import type { TakeGuard } from '../../src/store/model/take-guard.ts'
import { TestStore } from './open-store.ts'

const seqs = fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 5 })
const ranges = fc
  .tuple(fc.nat({ max: 30 }), fc.nat({ max: 10 }))
  .map(([after, length]) => ({ after, through: after + length }))

const steps = fc.array(
  fc.oneof(
    seqs.map((given) => ({ letters: given })),
    ranges.map((given) => ({ removals: given })),
    seqs.map((given) => ({ sent: given })),
    ranges.map((given) => ({ sentRange: given })),
  ),
  { maxLength: 20 },
)

describe('what was given up', () => {
  it('is what was named, less what is sent after all, before and after it was written down', () => {
    fc.assert(
      fc.property(steps, (given) => {
        let discards: Discards = noDiscards
        const letters = new Set<number>()
        const removals = new Set<number>()
        for (const step of given) {
          if ('letters' in step) {
            discards = withLetters(discards, step.letters)
            for (const seq of step.letters) letters.add(seq)
          } else if ('removals' in step) {
            discards = withRemovals(discards, step.removals)
            for (const seq of within(step.removals)) removals.add(seq)
          } else {
            const gone = 'sent' in step ? step.sent : within(step.sentRange)
            discards =
              'sent' in step
                ? withoutPlaces(discards, step.sent)
                : withoutRange(discards, step.sentRange)
            for (const seq of gone) for (const set of [letters, removals]) set.delete(seq)
          }
        }
        const again = decodeDiscards(new ByteReader(encodeDiscards(discards)))
        expect(again).toEqual(discards)
        for (let seq = 0; seq <= 45; seq++) {
          const isLetter = letters.has(seq)
          expect(isDiscarded(again, { seq, removes: false })).toBe(isLetter)
          expect(isDiscarded(again, { seq, removes: true })).toBe(isLetter || removals.has(seq))
        }
      }),
    )
  })

  it('forgets the oldest where there is no room for more', () => {
    const letters = Array.from({ length: 3000 }, (_, i) => i * 1000)
    const kept = fitting({ letters, removals: [] }, 2000)
    expect(encodeDiscards(kept).length).toBeLessThanOrEqual(2000)
    expect(kept.letters.length).toBeGreaterThan(700)
    expect(kept.letters).toEqual(letters.slice(-kept.letters.length))
  })
})

function within({ after, through }: { readonly after: number; readonly through: number }) {
  return Array.from({ length: through - after }, (_, i) => after + 1 + i)
}

describe('a change that was given up', () => {
  let store: TestStore
  let ledger: RemoteLedger
  beforeEach(async () => {
    store = await TestStore.open()
    ledger = await store.engine.ledger('default')
  })
  afterEach(() => store.remove())

  const loseIndex = async (): Promise<void> => {
    await store.loseIndex()
    ledger = await store.engine.ledger('default')
  }

  const holdAll: TakeGuard = {
    isWaiting: () => false,
    needsBase: () => false,
    judge: (_place, removal) => (removal === undefined ? 'take' : 'hold'),
    held: () => undefined,
  }

  /** The keys of all that is offered. */
  async function offered(guard?: TakeGuard): Promise<readonly string[]> {
    const all: FeedPlace[] = []
    for (;;) {
      const places = await ledger.take(1000, guard)
      if (places.length === 0) break
      all.push(...places)
      await ledger.settle(places.map((place) => ({ place, result: 'replicated' })))
    }
    const { queued, replicated, failed, superseded, pending } = ledger.counters()
    expect(queued).toBe(replicated + failed + superseded + pending)
    expect(pending).toBe(0)
    expect(ledger.position().low).toBe(store.engine.feed.head())
    return all.map(({ slot }) => (slot.kind === 'object' ? slot.key : slot.kind)).sort()
  }

  /** Dead letters of all that is offered with this key, discarded. */
  async function refuseAndDiscard(...keys: readonly string[]): Promise<readonly FeedPlace[]> {
    const refused: FeedPlace[] = []
    for (const place of await ledger.take(1000)) {
      if (place.slot.kind === 'object' && keys.includes(place.slot.key)) {
        await ledger.bury(place, { reason: 'no', attempts: 1 })
        refused.push(place)
      } else await ledger.settle([{ place, result: 'replicated' }])
    }
    await ledger.discard(refused.map(({ seq }) => seq))
    return refused
  }

  it('as a dead letter is not offered again when the index was lost, until it is sent after all', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await store.put('photos', key, key)
    const [a, b] = await refuseAndDiscard('a', 'b')
    if (a === undefined || b === undefined) throw new Error('two were refused')
    await loseIndex()
    await ledger.replay({ from: 0, keepDiscarded: true }, { dryRun: false })
    expect(await offered()).toEqual(['bucket', 'c', 'd'])
    expect(ledger.counters()).toMatchObject({ failed: 2, openLetters: 0 })
    expect([ledger.isBuried(a), ledger.isBuried(b)]).toEqual([true, true])
    // The place goes with the next write, and what stood in for it.
    await store.put('photos', 'b', 'newer')
    expect(await offered()).toEqual(['b'])
    expect(await ledger.requeue([a.seq])).toBe(1)
    expect(await offered()).toEqual(['a'])
    await loseIndex()
    expect(await offered()).toEqual(['a', 'b', 'bucket', 'c', 'd'])
    expect(ledger.counters()).toMatchObject({ failed: 0 })
  })

  it('as a held delete is not offered again either, and everything is when everything is asked for', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await store.put('photos', key, key)
    await offered()
    for (const key of ['a', 'b']) await store.engine.deleteObject({ bucket: 'photos', key })
    expect(await ledger.take(1000, holdAll)).toEqual([])
    await store.put('photos', 'e', 'e')
    await store.engine.deleteObject({ bucket: 'photos', key: 'c' })
    expect(await ledger.discardHeld({ ahead: true })).toMatchObject({ count: 3 })
    await store.engine.deleteObject({ bucket: 'photos', key: 'd' })
    await loseIndex()
    expect(await offered()).toEqual(['bucket', 'd', 'e'])
    expect(ledger.counters()).toMatchObject({ failed: 3 })
    await ledger.replay({ select: { prefix: 'b' } }, { dryRun: false })
    expect(await offered()).toEqual(['b'])
    await loseIndex()
    expect(await offered()).toEqual(['b', 'bucket', 'd', 'e'])
    await ledger.replay({ from: 0 }, { dryRun: false })
    expect(await offered()).toEqual(['a', 'b', 'bucket', 'c', 'd', 'e'])
    await loseIndex()
    expect(await offered()).toEqual(['a', 'b', 'bucket', 'c', 'd', 'e'])
  })

  it('stays given up among what is held anew, whether that is let go or given up as well', async () => {
    const keys = ['a', 'b', 'c', 'd', 'e', 'f']
    for (const key of keys) await store.put('photos', key, key)
    await offered()
    const remove = (key: string) => store.engine.deleteObject({ bucket: 'photos', key })
    // Let go: a, b, e. Given up: c, d.
    for (const key of ['a', 'b']) await remove(key)
    await offered()
    for (const key of ['c', 'd']) await remove(key)
    await ledger.take(1000, holdAll)
    await ledger.discardHeld({ ahead: false })
    await remove('e')
    await offered()
    await loseIndex()
    // Everything is judged anew, and a limit is met by the first of them.
    const kept = await ledger.take(1000, holdAll)
    expect(kept.map(({ slot }) => slot.kind === 'object' && slot.key)).toEqual([false, 'f'])
    await ledger.settle(kept.map((place) => ({ place, result: 'replicated' })))
    await remove('f')
    expect(await ledger.replay({ select: { prefix: 'c' } }, { dryRun: true })).toMatchObject({
      count: 0,
    })
    // A newer write takes the place of one that was given up.
    await store.put('photos', 'd', 'again')
    expect(await ledger.release()).toEqual({ count: 3, objects: 3 })
    expect(await offered()).toEqual(['a', 'b', 'd', 'e', 'f'])
    expect(ledger.counters()).toMatchObject({ failed: 1, held: 0 })
    await ledger.replay({ select: { prefix: 'c' } }, { dryRun: false })
    expect(await offered()).toEqual(['c'])
  })

  it('is given up in a remote that is behind, until everything is asked for', async () => {
    for (const key of ['a', 'b']) await store.put('photos', key, key)
    await offered()
    await store.engine.deleteObject({ bucket: 'photos', key: 'a' })
    expect(await ledger.discardHeld({ ahead: true })).toMatchObject({ count: 1 })
    await ledger.replay({ from: 0 }, { dryRun: false })
    expect(await offered()).toEqual(['a', 'b', 'bucket'])
  })

  it('stays given up when its remote is to want more, and not when it is linked anew', async () => {
    const everything = { buckets: [], excludeBuckets: [], prefixes: [], excludePrefixes: [] }
    await store.engine.remotes.change('default', {
      filter: { ...everything, excludePrefixes: ['c'] },
    })
    for (const key of ['a', 'b', 'c']) await store.put('photos', key, key)
    await refuseAndDiscard('a')
    await store.engine.remotes.change('default', { filter: everything })
    expect(await offered()).toEqual(['b', 'bucket', 'c'])
    await store.engine.remotes.unlink('default')
    ledger = await store.engine.ledger('default')
    expect(await offered()).toEqual(['a', 'b', 'bucket', 'c'])
  })
})
