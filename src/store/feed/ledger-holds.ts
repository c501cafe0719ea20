/**
 * What one ledger holds back: asks the guard about places that are about to be handed out, and walks
 * over what was decided about. Callers take turns, so that nothing is handed out meanwhile.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { TooManyDecisionsError } from '../model/errors.ts'
import { type HeldRange, heldRangesMax } from '../model/held-removals.ts'
import type { ChangeFeed, FeedPlace, HeldTotal } from '../model/object-store.ts'
import { isWanted } from '../model/place-filter.ts'
import type { TakeGuard } from '../model/take-guard.ts'
import type { Accounts } from '../tables/accounts.ts'
import { objectKey, tombstoneKey } from '../tables/keys.ts'
import type { LedgerState, PlaceFacts } from '../tables/ledger-state.ts'
import { decodeLiveEntry, decodeTombstone } from '../tables/slot-entry.ts'
import type { LedgerDiscards } from './ledger-discards.ts'

/** Places looked at in one step. */
const lookMax = 1000
const lookMin = 100

const noneHeld: HeldTotal = { count: 0, objects: 0 }

export interface LedgerHoldsOptions {
  readonly remote: string
  readonly state: LedgerState
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly feed: ChangeFeed
  readonly discards: LedgerDiscards
  /** Runs `build` with the next index batch, which writes the ledger too. */
  readonly change: (build: () => void) => Promise<void>
}

interface HeldPlace {
  readonly place: FeedPlace
  readonly facts: PlaceFacts
}

export class LedgerHolds {
  readonly #options: LedgerHoldsOptions

  constructor(options: LedgerHoldsOptions) {
    this.#options = options
  }

  isHeld(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean {
    const { state } = this.#options
    if (state.held.ranges.length === 0) return false
    const facts = this.factsOf({ ...place, bytes: 0 })
    return facts !== undefined && state.isHeld(facts)
  }

  /** Undefined when a newer mutation has the slot by now: then the place is about to leave the feed. */
  factsOf({ seq, slot, bytes }: Pick<FeedPlace, 'seq' | 'slot' | 'bytes'>): PlaceFacts | undefined {
    if (bytes > 0 || slot.kind === 'bucket') return { seq, slot, bytes, removes: false }
    const { index, accounts } = this.#options
    if (slot.kind === 'floor') {
      const { hidden: objects = 0 } = accounts.bucket(slot.bucket)
      return { seq, slot, bytes, removes: true, objects }
    }
    const live = index.get(objectKey(slot.bucket, slot.key))
    if (live !== undefined && decodeLiveEntry(live).seq === seq) {
      return { seq, slot, bytes, removes: false }
    }
    const tombstone = index.get(tombstoneKey(slot.bucket, slot.key))
    const isTombstone = tombstone !== undefined && decodeTombstone(tombstone).seq === seq
    return isTombstone ? { seq, slot, bytes, removes: true } : undefined
  }

  /** Live objects of the buckets that the remote is to have, if the guard wants to know. */
  async baseFor(
    places: readonly FeedPlace[],
    guard: TakeGuard | undefined,
  ): Promise<number | undefined> {
    const { state, accounts } = this.#options
    const mayRemove = ({ bytes, slot }: FeedPlace): boolean => bytes === 0 && slot.kind !== 'bucket'
    if (guard?.needsBase(state.held.memory) !== true || !places.some(mayRemove)) {
      return undefined
    }
    let objects = 0
    for (const [bucket, { objectCount }] of await accounts.allBuckets()) {
      if (isWanted(state.link.filter, { kind: 'floor', bucket })) objects += objectCount
    }
    return objects
  }

  /** Hands out what the guard lets go of `places`, which are the next ones. */
  hand(
    places: readonly FeedPlace[],
    guard: TakeGuard | undefined,
    live: number | undefined,
  ): { readonly taken: readonly FeedPlace[]; readonly held: number; readonly waits: boolean } {
    const { state, discards } = this.#options
    if (guard === undefined && state.held.ranges.length === 0 && discards.isBlank) {
      for (const place of places) state.take(place.seq, place.since)
      return { taken: places, held: 0, waits: false }
    }
    const taken: FeedPlace[] = []
    let held = 0
    for (const place of places) {
      const facts = this.factsOf(place) ?? { ...place, removes: false }
      const range = facts.removes ? state.held.rangeOf(place.seq) : undefined
      // Among what is held it is held, too: every removal in such a range is pending.
      if (range?.kind !== 'held' && discards.has(place)) {
        // The index was built anew since, or everything is counted anew.
        state.take(place.seq, place.since)
        state.finish(place.seq, place.bytes, 'failed')
        held++
        continue
      }
      const verdict = this.#verdictOn(place, { facts, range, guard, live })
      if (verdict === 'wait') return { taken, held, waits: true }
      if (verdict === 'hold') {
        state.hold(facts)
        guard?.held(place)
        held++
        continue
      }
      state.take(place.seq, place.since)
      if (range !== undefined) state.held.passTo(range, place.seq)
      if (range?.kind === 'discarded') {
        state.finish(place.seq, place.bytes, 'failed')
        held++
      } else taken.push(place)
    }
    state.held.prune(state.high)
    return { taken, held, waits: false }
  }

  /** The next of what was decided about: what is discarded is done then, what is released goes out. */
  async step(limit: number): Promise<readonly FeedPlace[]> {
    const { state, discards, change } = this.#options
    await this.#finishDiscards()
    const released: FeedPlace[] = []
    let givenUp = 0
    for (;;) {
      const range = state.held.ranges.find(({ kind, count }) => kind === 'released' && count > 0)
      const room = limit - released.length
      if (range === undefined || room <= 0) break
      const found = await this.#walk(range, room, (places) => {
        for (const { place, facts } of places) {
          const isGivenUp = discards.has(place)
          state.unhold(facts, place.since)
          state.held.passTo(range, place.seq)
          if (isGivenUp) {
            state.finish(place.seq, place.bytes, 'failed')
            givenUp++
          } else released.push(place)
        }
      })
      state.held.prune(state.high)
      // A newer write took the last of them meanwhile.
      if (found === 0) break
    }
    if (givenUp > 0) await change(() => undefined)
    return released
  }

  /** But for what was given up before, and is held once more. */
  async release(): Promise<HeldTotal> {
    const { state, feed } = this.#options
    const givenUp = await this.#givenUpAmongHeld()
    return await this.#decide(() => {
      const { open } = state.held
      state.held.decide('released', state.high)
      state.held.memory.dueThrough = Math.max(state.held.memory.dueThrough, feed.head())
      const { count = 0, objects = 0 } = open ?? {}
      return {
        count: Math.max(0, count - givenUp.count),
        objects: Math.max(0, objects - givenUp.objects),
      }
    })
  }

  async discard({ ahead }: { readonly ahead: boolean }): Promise<HeldTotal> {
    const { state, feed } = this.#options
    this.#refuseTooMany()
    const waiting = ahead ? await this.#removals(state.high, feed.head()) : noneHeld
    const through = feed.head()
    const total = await this.#decide(() => {
      const { open } = state.held
      state.held.decide('discarded', state.high)
      if (ahead) state.held.discardAhead(state.high, through)
      return {
        count: (open?.count ?? 0) + waiting.count,
        objects: (open?.objects ?? 0) + waiting.objects,
      }
    })
    // What of this a crash cuts off goes on when the next places are taken.
    await this.#finishDiscards()
    return total
  }

  /** The first place that is held, if any. */
  async first(): Promise<FeedPlace | undefined> {
    const { state } = this.#options
    const range = state.held.ranges.find(({ count }) => count > 0)
    if (range === undefined) return undefined
    let first: FeedPlace | undefined
    await this.#walk(range, 1, ([found]) => {
      first = found?.place
      // Whoever looks next need not walk over what lies before.
      if (first !== undefined) state.held.passTo(range, first.seq - 1)
    })
    return first
  }

  async #finishDiscards(): Promise<void> {
    const { state, discards, change } = this.#options
    // Decided first and written down then: what is written down and still held was given up before.
    for (const range of state.held.ranges) {
      if (range.kind === 'discarded') await discards.addRemovals(range)
    }
    for (;;) {
      const range = state.held.ranges.find(({ kind, count }) => kind === 'discarded' && count > 0)
      if (range === undefined) return
      const found = await this.#walk(range, lookMax, (places, removed) =>
        change(() => {
          for (const { place, facts } of places) {
            if (removed.has(place.seq)) continue
            state.unhold(facts, place.since)
            state.finish(place.seq, place.bytes, 'failed')
            state.held.passTo(range, place.seq)
          }
          state.held.prune(state.high)
        }),
      )
      if (found === 0) return
    }
  }

  #verdictOn(
    place: FeedPlace,
    at: {
      readonly facts: PlaceFacts
      readonly range: HeldRange | undefined
      readonly guard: TakeGuard | undefined
      readonly live: number | undefined
    },
  ): 'take' | 'hold' | 'wait' {
    const { facts, range, guard, live } = at
    const { held } = this.#options.state
    const isOpen = range?.kind === 'held'
    if (guard === undefined) return isOpen ? 'hold' : 'take'
    const objects = facts.objects ?? 1
    // What is below the open range had gone before anything was held: it is sent again.
    const isDecided = range !== undefined || held.open !== undefined
    const base = live === undefined ? undefined : live + this.#goneAlready(facts, objects)
    const removal = facts.removes ? { objects, isDecided, base } : undefined
    const verdict = guard.judge(place, removal, held.memory)
    return verdict === 'take' && isOpen ? 'hold' : verdict
  }

  /** Of what this removes, what the counters do not have any more. */
  #goneAlready({ slot }: PlaceFacts, objects: number): number {
    return slot.kind === 'floor' && this.#options.accounts.bucket(slot.bucket).sweeping
      ? 0
      : objects
  }

  /**
   * Finds the next held places of a range, and uses them at once: what leaves the feed before `use` has
   * ended is in its set.
   */
  async #walk(
    range: HeldRange,
    limit: number,
    use: (places: readonly HeldPlace[], removed: ReadonlySet<number>) => void | Promise<void>,
  ): Promise<number> {
    const { state, feed } = this.#options
    for (;;) {
      const removed = new Set(state.removedUnwritten())
      const stopWatching = state.watchRemovals(({ seq }) => removed.add(seq))
      try {
        const places = await feed.readPlaces(
          range.after,
          Math.max(lookMin, Math.min(lookMax, limit)),
        )
        const end = Math.min(range.through, state.high)
        const found: HeldPlace[] = []
        for (const place of places) {
          if (place.seq > end || found.length >= limit) break
          const facts = removed.has(place.seq) ? undefined : this.factsOf(place)
          if (facts !== undefined && state.isHeld(facts)) found.push({ place, facts })
        }
        const last = places.at(-1)
        if (found.length > 0 || last === undefined || last.seq >= end) {
          await use(found, removed)
          return found.length
        }
        state.held.passTo(range, last.seq)
      } finally {
        stopWatching()
      }
    }
  }

  async #givenUpAmongHeld(): Promise<HeldTotal> {
    const { state, discards } = this.#options
    const { open } = state.held
    if (open === undefined || discards.isBlank) return noneHeld
    return await this.#removals(open.after, state.high, (place) => discards.has(place))
  }

  /** What the feed removes behind `from` and up to `through`, as far as it concerns the remote. */
  async #removals(
    from: number,
    through: number,
    isMeant: (place: FeedPlace) => boolean = () => true,
  ): Promise<HeldTotal> {
    const { state, feed } = this.#options
    let count = 0
    let objects = 0
    for (let after = from; after < through; ) {
      const places = await feed.readPlaces(after, lookMax)
      for (const place of places) {
        const facts = place.seq <= through ? this.factsOf(place) : undefined
        if (facts === undefined || !facts.removes || !state.wants(facts)) continue
        if (!isMeant(place)) continue
        count++
        objects += facts.objects ?? 1
      }
      after = places.at(-1)?.seq ?? through
    }
    return { count, objects }
  }

  #refuseTooMany(): void {
    const { state, remote } = this.#options
    state.held.prune(state.high)
    if (state.held.ranges.length >= heldRangesMax) throw new TooManyDecisionsError(remote)
  }

  async #decide(decision: () => HeldTotal): Promise<HeldTotal> {
    const { state, change } = this.#options
    this.#refuseTooMany()
    let total = noneHeld
    await change(() => {
      total = decision()
      state.held.prune(state.high)
    })
    return total
  }
}
