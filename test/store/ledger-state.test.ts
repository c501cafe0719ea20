import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import {
  decodeLedger,
  encodeLedger,
  LedgerState,
  type PlaceFacts,
} from '../../src/store/tables/ledger-state.ts'

const link = { epoch: 7, begunAt: 0, filter: wantsEverything }

function placeAt(seq: number, bytes: number, removes = false, bucket = 'docs'): PlaceFacts {
  return { seq, bytes, removes, slot: objectSlot(bucket, `key-${seq}`) }
}

/** A feed as a plain list of live places, and what became of each for one remote. */
class Model {
  readonly state: LedgerState
  readonly places = new Map<number, number>()
  readonly done = new Set<number>()
  #seq = 0

  constructor(before: number) {
    for (let i = 0; i < before; i++) this.places.set(++this.#seq, i)
    const bytes = [...this.places.values()].reduce((sum, size) => sum + size, 0)
    this.state = LedgerState.begin(link, before)
    this.state.rewind(0, { places: before, bytes })
  }

  add(bytes: number): void {
    this.places.set(++this.#seq, bytes)
    this.state.placeAdded(placeAt(this.#seq, bytes))
  }

  pick(from: Iterable<number>, at: number): number | undefined {
    const all = [...from]
    return all.length === 0 ? undefined : all[at % all.length]
  }

  remove(at: number): void {
    const seq = this.pick(this.places.keys(), at)
    if (seq === undefined) return
    this.state.placeRemoved(placeAt(seq, this.places.get(seq) ?? 0))
    this.places.delete(seq)
    this.done.delete(seq)
  }

  take(): void {
    const next = [...this.places.keys()].find((seq) => seq > this.state.high)
    if (next !== undefined) this.state.take(next, next)
  }

  finish(at: number, as: 'replicated' | 'failed' | 'superseded'): void {
    const seq = this.pick(this.state.outstanding.keys(), at)
    if (seq === undefined) return
    expect(this.state.finish(seq, this.places.get(seq) ?? 0, as)).toBe(true)
    this.done.add(seq)
  }

  rewind(at: number): void {
    const from = at % (this.#seq + 1)
    const regained = [...this.done].filter((seq) => seq > from)
    const bytes = regained.reduce((sum, seq) => sum + (this.places.get(seq) ?? 0), 0)
    this.state.rewind(from, { places: regained.length, bytes })
    for (const seq of regained) this.done.delete(seq)
  }

  requeue(at: number): void {
    const seq = this.pick(this.done, at)
    if (seq === undefined) return
    this.state.requeue({ seq, bytes: this.places.get(seq) ?? 0, since: 0 })
    this.done.delete(seq)
  }

  check(): void {
    const pending = [...this.places.keys()].filter((seq) => !this.done.has(seq))
    expect(this.state.pending).toBe(pending.length)
    expect(this.state.pendingBytes).toBe(
      pending.reduce((sum, seq) => sum + (this.places.get(seq) ?? 0), 0),
    )
    for (const seq of this.places.keys())
      expect(this.state.isPending(seq)).toBe(!this.done.has(seq))
    const low = this.state.low()
    for (const seq of pending) expect(seq).toBeGreaterThan(low)
    const { queued, replicated, failed, superseded } = this.state
    expect(queued).toBe(replicated + failed + superseded + pending.length)
  }
}

const step = fc.oneof(
  fc.record({ do: fc.constant('add' as const), n: fc.nat({ max: 1000 }) }),
  fc.record({ do: fc.constant('remove' as const), n: fc.nat() }),
  fc.record({ do: fc.constant('take' as const), n: fc.constant(0) }),
  fc.record({ do: fc.constant('take' as const), n: fc.constant(0) }),
  fc.record({
    do: fc.constantFrom('replicated' as const, 'failed' as const, 'superseded' as const),
    n: fc.nat(),
  }),
  fc.record({ do: fc.constant('rewind' as const), n: fc.nat() }),
  fc.record({ do: fc.constant('requeue' as const), n: fc.nat() }),
)

function perform(model: Model, action: { readonly do: string; readonly n: number }): void {
  if (action.do === 'add') model.add(action.n)
  else if (action.do === 'remove') model.remove(action.n)
  else if (action.do === 'take') model.take()
  else if (action.do === 'rewind') model.rewind(action.n)
  else if (action.do === 'requeue') model.requeue(action.n)
  else model.finish(action.n, action.do as 'replicated')
}

describe('a ledger', () => {
  it('counts pending as a recount of the feed does, whatever happens', () => {
    fc.assert(
      fc.property(fc.nat({ max: 5 }), fc.array(step, { maxLength: 60 }), (before, steps) => {
        const model = new Model(before)
        model.check()
        for (const action of steps) {
          perform(model, action)
          model.check()
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is the same after it was stored', () => {
    fc.assert(
      fc.property(fc.nat({ max: 5 }), fc.array(step, { maxLength: 40 }), (before, steps) => {
        const model = new Model(before)
        for (const action of steps) perform(model, action)
        const { state } = model
        const again = decodeLedger(encodeLedger(state), (seq) => state.outstanding.get(seq) ?? -1)
        expect(again.counters()).toEqual(state.counters())
        expect(new Map([...again.outstanding].sort())).toEqual(
          new Map([...state.outstanding].sort()),
        )
        expect(again.high).toBe(state.high)
      }),
    )
  })

  it('tells a watcher of every place that leaves, before it is counted', () => {
    const state = LedgerState.begin(link, 2)
    state.rewind(0, { places: 2, bytes: 10 })
    const seen: boolean[] = []
    const stop = state.watchRemovals(({ seq }) => seen.push(state.isPending(seq)))
    state.take(1, 0)
    state.placeRemoved(placeAt(1, 5))
    stop()
    state.placeRemoved(placeAt(2, 5))
    expect(seen).toEqual([true])
    expect(state.pending).toBe(0)
  })

  it('knows a place that was taken away as leaving until the batch that does so is durable', () => {
    const state = LedgerState.begin(link, 2)
    state.rewind(0, { places: 2, bytes: 10 })
    state.take(1, 0)
    state.placeRemoved(placeAt(1, 5))
    expect([state.isPending(1), state.isLeaving(1), state.isLeaving(2)]).toEqual([
      false,
      true,
      false,
    ])
    state.batchBuilt()
    expect(state.isLeaving(1)).toBe(true)
    state.batchBuilt()
    expect(state.isLeaving(1)).toBe(false)
  })

  it('counts what its filter wants, and no delete from before the link began', () => {
    const filter = { ...wantsEverything, buckets: ['docs'] }
    const state = LedgerState.begin({ epoch: 7, begunAt: 5, filter }, 5)
    expect(state.placeAdded(placeAt(6, 10))).toBe(true)
    expect(state.placeAdded(placeAt(7, 10, false, 'tmp'))).toBe(false)
    expect(state.placeAdded(placeAt(8, 0, true))).toBe(true)
    expect(state.wants(placeAt(5, 0, true))).toBe(false)
    state.placeRemoved(placeAt(7, 10, false, 'tmp'))
    state.placeRemoved(placeAt(6, 10))
    expect(state.counters()).toMatchObject({ queued: 2, superseded: 1, pending: 1 })
  })

  it('takes everything off when it is to want something else, and balances', () => {
    const state = LedgerState.begin(link, 0)
    state.isFilled = true
    for (const seq of [1, 2, 3]) state.placeAdded(placeAt(seq, 10))
    state.take(1, 0)
    expect(state.relink(link, 3)).toBe(false)
    expect(state.relink({ ...link, filter: { ...wantsEverything, prefixes: ['a'] } }, 3)).toBe(true)
    expect(state.counters()).toMatchObject({
      queued: 3,
      superseded: 3,
      pending: 0,
      pendingBytes: 0,
    })
    expect([state.high, state.isFilled, state.outstanding.size]).toEqual([3, false, 0])
  })
})
