/**
 * One remote's ledger over the index: see {@link RemoteLedger} for what it promises.
 *
 * It must never know how changes travel: a sender takes places, and says what became of them.
 */
import type { Clock } from '../../base/clock.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type {
  ChangeFeed,
  ConfirmedPeer,
  DeadLetter,
  FeedPlace,
  HeldTotal,
  LedgerCounters,
  PurgePreview,
  RemoteLedger,
  ReplayFilter,
  ReplayScope,
  Settlement,
} from '../model/object-store.ts'
import type { TakeGuard } from '../model/take-guard.ts'
import type { Accounts } from '../tables/accounts.ts'
import { decodeChangeEntry } from '../tables/change-entry.ts'
import { buryLetter, closeLetter, type EffectContext } from '../tables/effects.ts'
import { changeKey, deadLetterKey, deadLettersAfter, seqOf } from '../tables/keys.ts'
import type { LedgerState, PlaceFacts } from '../tables/ledger-state.ts'
import { decodeLetterEntry } from '../tables/letter-entry.ts'
import { readChunks } from '../tables/read-all.ts'
import { deadLetterRecord } from '../tables/records.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { LaunchedPlaces } from './launched-places.ts'
import { type CountedLedger, doneAbove } from './ledger-count.ts'
import { type DiscardRegister, LedgerDiscards } from './ledger-discards.ts'
import { LedgerHolds } from './ledger-holds.ts'
import { LedgerReplays } from './ledger-replays.ts'

export interface LedgerOptions {
  readonly remote: string
  readonly state: LedgerState
  readonly accounts: Accounts
  readonly index: OrderedIndex
  readonly pipeline: CommitPipeline
  readonly sequencer: Sequencer
  readonly feed: ChangeFeed
  readonly clock: Clock
  readonly launched: LaunchedPlaces
  readonly register: DiscardRegister
}

const firstWantedChunk = 100
/** Dead letters that are closed, or places queued again, in one go. */
const atOnce = 1000

export class StoredLedger implements RemoteLedger {
  readonly remote: string
  readonly #options: LedgerOptions
  readonly #state: LedgerState
  readonly #replays: LedgerReplays
  readonly #holds: LedgerHolds
  readonly #discards: LedgerDiscards
  readonly #counted: CountedLedger
  readonly #rewindListeners = new Set<() => void>()
  /** Outstanding from before, to be handed out again: ascending. */
  #again: number[] = []
  readonly #burying = new Set<number>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: LedgerOptions) {
    this.remote = options.remote
    this.#options = options
    this.#state = options.state
    this.handOutAgain()
    const { remote, state, index, pipeline, accounts, feed } = options
    const isWanted = (place: FeedPlace): boolean => this.#isWanted(place)
    this.#counted = { state, index, pipeline, accounts, isWanted }
    const change = (build: (context: EffectContext) => void) => this.#change(build)
    this.#discards = new LedgerDiscards({
      ...{ remote, index, feed },
      register: options.register,
      sequencer: options.sequencer,
      factsOf: (place) => this.#holds.factsOf(place),
    })
    const discards = this.#discards
    this.#holds = new LedgerHolds({ remote, state, index, accounts, feed, discards, change })
    this.#replays = new LedgerReplays({
      ...{ remote, state, index, discards },
      // What is held is pending: there is nothing to queue again.
      isWanted: (place) => isWanted(place) && !this.isHeld(place),
      change,
    })
  }

  counters(): LedgerCounters {
    return this.#state.counters()
  }

  position(): { readonly low: number; readonly high: number } {
    return { low: this.#state.low(), high: this.#state.high }
  }

  async oldestPending(): Promise<number | undefined> {
    if (this.#state.pending === 0) return undefined
    let oldest = Number.POSITIVE_INFINITY
    for (const since of this.#state.outstanding.values()) oldest = Math.min(oldest, since)
    const next = await this.#inTurn(async () => [
      await this.#firstWanted(),
      await this.#holds.first(),
    ])
    for (const place of next) oldest = Math.min(oldest, place?.since ?? oldest)
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest
  }

  take(limit: number, guard?: TakeGuard): Promise<readonly FeedPlace[]> {
    return this.#inTurn(() => this.#take(limit, guard))
  }

  isHeld(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean {
    return this.#holds.isHeld(place)
  }

  async release(): Promise<HeldTotal> {
    const total = await this.#inTurn(() => this.#holds.release())
    this.#takeAnew()
    return total
  }

  async discardHeld(options: { readonly ahead: boolean }): Promise<HeldTotal> {
    const total = await this.#inTurn(() => this.#holds.discard(options))
    this.#takeAnew()
    return total
  }

  isPending({ seq }: Pick<FeedPlace, 'seq'>): boolean {
    return this.#state.isPending(seq)
  }

  isLeaving({ seq }: Pick<FeedPlace, 'seq'>): boolean {
    return this.#state.isLeaving(seq)
  }

  isBuried(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean {
    const { seq } = place
    // Done in memory before its letter is in the index.
    if (this.#burying.has(seq) || this.#discards.has(place)) return true
    return this.#options.index.get(deadLetterKey(this.remote, seq)) !== undefined
  }

  launched(places: readonly FeedPlace[]): void {
    for (const place of places) this.#options.launched.add(place.seq)
  }

  landed(places: readonly FeedPlace[]): void {
    for (const place of places) this.#options.launched.remove(place.seq)
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.#change(() => {
      for (const { place, result, remote } of settlements) {
        const as = result === 'replicated' ? 'replicated' : 'superseded'
        if (!this.#state.finish(place.seq, place.bytes, as)) continue
        if (as === 'replicated') this.#state.lastReplication = Math.floor(this.#options.clock.now())
        if (remote === 'superseded') this.#state.remoteSuperseded++
        if (remote === 'conflict') this.#state.remoteConflicts++
      }
    })
  }

  async bury(
    place: FeedPlace,
    { reason, attempts }: { readonly reason: string; readonly attempts: number },
  ): Promise<void> {
    const time = Math.floor(this.#options.clock.now())
    const { seq, slot, version, bytes } = place
    const letter: DeadLetter = { seq, slot, version, bytes, reason, attempts, time }
    const { remote } = this
    this.#burying.add(seq)
    try {
      await this.#options.sequencer.sequenceUnplaced(
        deadLetterRecord(remote, letter, 'buried'),
        (context, location) => buryLetter(context, { remote, letter, location }),
      )
    } finally {
      this.#burying.delete(seq)
    }
  }

  async deadLetters(limit: number, after = 0): Promise<readonly DeadLetter[]> {
    const cursor = this.#options.index.iterate(deadLettersAfter(this.remote, after))
    try {
      const entries = await cursor.next(limit)
      return entries.map(([, value]) => decodeLetterEntry(value).letter)
    } finally {
      await cursor.close()
    }
  }

  deadLetter(seq: number): DeadLetter | undefined {
    const entry = this.#options.index.get(deadLetterKey(this.remote, seq))
    return entry === undefined ? undefined : decodeLetterEntry(entry).letter
  }

  async discard(letters: readonly number[] | 'all'): Promise<PurgePreview> {
    if (letters !== 'all') return this.#discard(this.#lettersAt(letters))
    let count = 0
    let bytes = 0
    for (let after = 0; ; ) {
      const some = await this.deadLetters(atOnce, after)
      const last = some.at(-1)
      if (last === undefined) return { count, bytes }
      const closed = await this.#discard(some)
      count += closed.count
      bytes += closed.bytes
      after = last.seq
    }
  }

  replay(scope: ReplayScope, options: { readonly dryRun: boolean }): Promise<PurgePreview> {
    return this.#inTurn(() => {
      if ('select' in scope) return this.#select('places', scope.select, options)
      if ('letters' in scope) return this.#replayLetters(this.#lettersAt(scope.letters), options)
      if (scope.from === 'failed') return this.#select('letters', {}, options)
      return this.#rewind(scope, options)
    })
  }

  /**
   * Counts the feed for a link that has just begun, or wants other places than before. Until that is
   * done the remote gets only what is new; done twice it changes nothing.
   */
  fill(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.isFilled) return
      await this.#goBack(0, (regained) => {
        this.#state.rewind(0, { places: regained.count, bytes: regained.bytes })
        this.#state.isFilled = true
      })
    })
  }

  handOutAgain(): void {
    this.#again = [...this.#state.outstanding.keys()].sort((a, b) => a - b)
  }

  wants({ seq, slot }: Pick<FeedPlace, 'seq' | 'slot'>): boolean {
    return this.#isWanted({ seq, slot, bytes: 0 })
  }

  requeue(seqs: readonly number[]): Promise<number> {
    return this.#inTurn(() => this.#requeue(seqs))
  }

  confirmedPeer(): ConfirmedPeer | undefined {
    return this.#state.confirmed
  }

  confirmPeer(peer: ConfirmedPeer): Promise<void> {
    return this.#change(() => {
      this.#state.confirmed = peer
    })
  }

  onRewind(listener: () => void): () => void {
    this.#rewindListeners.add(listener)
    return () => this.#rewindListeners.delete(listener)
  }

  async #take(limit: number, guard: TakeGuard | undefined): Promise<readonly FeedPlace[]> {
    const places = this.#takeAgain(limit)
    places.push(...(await this.#holds.step(limit - places.length)))
    // Nothing at all is answered only at the end of the feed: nobody would ask again.
    while (places.length < limit) {
      if (this.#state.replays.length > 0) {
        // Half of the room: live writes go on beside a long replay.
        const queued = await this.#replays.step(Math.ceil((limit - places.length) / 2))
        this.#again.push(...queued)
        places.push(...this.#takeAgain(limit - places.length))
      }
      const room = limit - places.length
      if (room > 0) places.push(...(await this.#takeFresh(room, guard)))
      if (places.length > 0 || this.#state.replays.length === 0) break
    }
    return places
  }

  async #takeFresh(limit: number, guard: TakeGuard | undefined): Promise<readonly FeedPlace[]> {
    const { memory } = this.#state.held
    if (guard?.isWaiting(memory) === true) return []
    const { markSince } = memory
    const removed = new Set(this.#state.removedUnwritten())
    const stopWatching = this.#state.watchRemovals(({ seq }) => removed.add(seq))
    let held = 0
    try {
      let after = this.#state.high
      for (;;) {
        const places = await this.#options.feed.readPlaces(after, limit)
        const live = await this.#holds.baseFor(places, guard)
        const still = places.filter((place) => !removed.has(place.seq) && this.#isWanted(place))
        const handed = this.#holds.hand(still, guard, live)
        held += handed.held
        if (handed.waits) return handed.taken
        const last = places.at(-1)
        if (last !== undefined) this.#state.passTo(last.seq)
        if (handed.taken.length > 0 || last === undefined) return handed.taken
        after = last.seq
      }
    } finally {
      stopWatching()
      if (held > 0 || memory.markSince !== markSince) await this.#change(() => undefined)
    }
  }

  #takeAgain(limit: number): FeedPlace[] {
    const places: FeedPlace[] = []
    while (places.length < limit) {
      const seq = this.#again.shift()
      if (seq === undefined) break
      const since = this.#state.outstanding.get(seq)
      if (since === undefined) continue
      const entry = this.#options.index.get(changeKey(seq))
      // What was queued again waits since then, not since it was made.
      if (entry !== undefined) places.push({ ...decodeChangeEntry(seq, entry), since })
    }
    return places
  }

  /** The first of what is selected is queued again at once, the rest as it is taken. */
  async #select(
    source: 'places' | 'letters',
    filter: ReplayFilter,
    options: { readonly dryRun: boolean },
  ): Promise<PurgePreview> {
    const selected = await this.#replays.begin(source, filter, options)
    if (options.dryRun || selected.count === 0) return selected
    this.#takeAnew()
    const room = atOnce - this.#state.outstanding.size
    if (room > 0) this.#again.push(...(await this.#replays.step(room)))
    return selected
  }

  async #replayLetters(
    letters: readonly DeadLetter[],
    { dryRun }: { readonly dryRun: boolean },
  ): Promise<PurgePreview> {
    if (dryRun || letters.length === 0) return totalOf(letters)
    await this.#discards.withdraw(letters)
    const requeued: DeadLetter[] = []
    await this.#change((context) => {
      for (const letter of letters) {
        const { seq, bytes } = letter
        if (context.batch.read(changeKey(seq)) === undefined || this.#state.isPending(seq)) continue
        closeLetter(context, this.remote, seq)
        this.#state.requeue({ seq, bytes, since: context.now })
        requeued.push(letter)
      }
    })
    this.#takeAnew()
    return totalOf(requeued)
  }

  async #requeue(seqs: readonly number[]): Promise<number> {
    const requeued: number[] = []
    await this.#discards.withdraw(this.#placesAt(seqs))
    await this.#options.pipeline.runTask((batch) => {
      const context = this.#options.sequencer.effectContext(batch)
      for (const seq of seqs) {
        const entry = batch.read(changeKey(seq))
        if (entry === undefined || this.#state.isPending(seq)) continue
        const place = decodeChangeEntry(seq, entry)
        if (!this.#isWanted(place) || this.isHeld(place)) continue
        closeLetter(context, this.remote, seq)
        this.#state.requeue({ seq, bytes: place.bytes, since: context.now })
        requeued.push(seq)
      }
      this.#options.accounts.ledgerChanged(this.remote)
    })
    if (requeued.length > 0) this.#takeAnew()
    return requeued.length
  }

  async #discard(letters: readonly DeadLetter[]): Promise<PurgePreview> {
    return totalOf(await this.#discards.closeLetters(letters))
  }

  #placesAt(seqs: readonly number[]): readonly FeedPlace[] {
    if (this.#discards.isBlank) return []
    return seqs.flatMap((seq) => {
      const entry = this.#options.index.get(changeKey(seq))
      return entry === undefined ? [] : decodeChangeEntry(seq, entry)
    })
  }

  #lettersAt(seqs: readonly number[]): readonly DeadLetter[] {
    return [...new Set(seqs)].flatMap((seq) => this.deadLetter(seq) ?? [])
  }

  /** Whoever took places drops them: all that are outstanding are handed out anew. */
  #takeAnew(): void {
    this.handOutAgain()
    for (const listener of this.#rewindListeners) listener()
  }

  /** The first place behind those handed out that concerns this remote; passes over what does not. */
  async #firstWanted(): Promise<FeedPlace | undefined> {
    for (;;) {
      const places = await this.#options.feed.readPlaces(this.#state.high, firstWantedChunk)
      const at = places.findIndex((place) => this.#isWanted(place))
      if (at >= 0) return places[at]
      const last = places.at(-1)
      if (last === undefined) return undefined
      this.#state.passTo(last.seq)
    }
  }

  #isWanted(place: Pick<FeedPlace, 'seq' | 'slot' | 'bytes'>): boolean {
    const facts = this.#factsOf(place)
    return facts !== undefined && this.#state.wants(facts)
  }

  /** Undefined when a newer mutation has the slot by now: then the place is about to leave the feed. */
  #factsOf(place: Pick<FeedPlace, 'seq' | 'slot' | 'bytes'>): PlaceFacts | undefined {
    const { seq, slot, bytes } = place
    // Only what was deleted before the link began is passed over for being a delete.
    if (seq > this.#state.link.begunAt || bytes > 0) return { seq, slot, bytes, removes: false }
    return this.#holds.factsOf(place)
  }

  /** Everything above `from` that is done becomes pending. */
  async #rewind(
    scope: { readonly from: number; readonly keepDiscarded?: boolean },
    { dryRun }: { readonly dryRun: boolean },
  ): Promise<PurgePreview> {
    // Further back than asked, if anything is held there: what is held is a matter of all or nothing.
    const from = this.#state.held.low(scope.from)
    if (from >= this.#state.high) return { count: 0, bytes: 0 }
    if (dryRun) return this.#goBack(from, undefined)
    const isWithdrawn = scope.keepDiscarded !== true
    const through = Number.MAX_SAFE_INTEGER
    if (isWithdrawn) await this.#discards.withdrawRange({ after: from, through })
    const letters = await this.#lettersAbove(from)
    return this.#goBack(from, (regained, context) => {
      for (const seq of letters) closeLetter(context, this.remote, seq)
      this.#state.rewind(from, { places: regained.count, bytes: regained.bytes })
      if (isWithdrawn) this.#state.held.withdrawDiscards(from)
    })
  }

  /**
   * Finds what is done above `from`, and lets `move` move the position in the batch for which that
   * figure is exact. Without `move` the figure is all that is wanted.
   */
  async #goBack(
    from: number,
    move: ((regained: PurgePreview, context: EffectContext) => void) | undefined,
  ): Promise<PurgePreview> {
    const done = await doneAbove(this.#counted, from)
    try {
      if (move === undefined) return done.total()
      let regained: PurgePreview = { count: 0, bytes: 0 }
      await this.#change((context) => {
        regained = done.total()
        move(regained, context)
      })
      this.#takeAnew()
      return regained
    } finally {
      done.stop()
    }
  }

  async #lettersAbove(from: number): Promise<readonly number[]> {
    const letters: number[] = []
    const range = deadLettersAfter(this.remote, from)
    for await (const entries of readChunks(this.#options.index, range)) {
      for (const [key] of entries) letters.push(seqOf(key))
    }
    return letters
  }

  #change(build: (context: EffectContext) => void): Promise<void> {
    return this.#options.pipeline.runTask((batch) => {
      build(this.#options.sequencer.effectContext(batch))
      this.#options.accounts.ledgerChanged(this.remote)
    })
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined) // the caller has it; the next in line goes on
    return turn
  }
}

function totalOf(letters: readonly DeadLetter[]): PurgePreview {
  return { count: letters.length, bytes: letters.reduce((sum, letter) => sum + letter.bytes, 0) }
}
