/** One remote's ledger over the index: see {@link RemoteLedger} for what it promises. */
import type { Clock } from '../base/clock.ts'
import type { OrderedIndex } from '../index/ordered-index.ts'
import type { Accounts } from './accounts.ts'
import type { CommitPipeline } from './commit-pipeline.ts'
import { buryLetter, closeLetter, type EffectContext } from './effects.ts'
import type { LedgerState, PlaceFacts } from './ledger-state.ts'
import type {
  ChangeFeed,
  ConfirmedPeer,
  DeadLetter,
  FeedPlace,
  LedgerCounters,
  PurgePreview,
  RemoteLedger,
  ReplayScope,
  Settlement,
} from './object-store.ts'
import { readChunks } from './read-all.ts'
import { deadLetterRecord } from './records.ts'
import type { Sequencer } from './sequencer.ts'
import { decodeChangeEntry } from './tables/change-entry.ts'
import { changeKey, deadLettersRange, objectKey, seqOf, tombstoneKey } from './tables/keys.ts'
import { decodeLetterEntry } from './tables/letter-entry.ts'
import { decodeLiveEntry, decodeTombstone } from './tables/slot-entry.ts'

/** Seqs that are on the wire, to any remote. */
export class LaunchedPlaces {
  readonly #counts = new Map<number, number>()

  has(seq: number): boolean {
    return this.#counts.has(seq)
  }

  add(seq: number): void {
    this.#counts.set(seq, (this.#counts.get(seq) ?? 0) + 1)
  }

  remove(seq: number): void {
    const count = this.#counts.get(seq) ?? 0
    if (count <= 1) this.#counts.delete(seq)
    else this.#counts.set(seq, count - 1)
  }
}

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
}

interface LiveCount {
  readonly total: { count: number; bytes: number }
  readonly bytesOf: (seq: number) => number
  stop(): void
}

const firstWantedChunk = 100

export class StoredLedger implements RemoteLedger {
  readonly remote: string
  readonly #options: LedgerOptions
  readonly #state: LedgerState
  readonly #rewindListeners = new Set<() => void>()
  /** Outstanding from before, to be handed out again: ascending. */
  #again: number[] = []
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: LedgerOptions) {
    this.remote = options.remote
    this.#options = options
    this.#state = options.state
    this.handOutAgain()
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
    const next = await this.#inTurn(() => this.#firstWanted())
    if (next !== undefined) oldest = Math.min(oldest, next.since)
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest
  }

  take(limit: number): Promise<readonly FeedPlace[]> {
    return this.#inTurn(() => this.#take(limit))
  }

  isPending(place: Pick<FeedPlace, 'seq'>): boolean {
    return this.#state.isPending(place.seq)
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
    await this.#options.sequencer.sequenceUnplaced(
      deadLetterRecord(remote, letter),
      (context, location) => buryLetter(context, { remote, letter, location }),
    )
  }

  async deadLetters(limit: number): Promise<readonly DeadLetter[]> {
    const cursor = this.#options.index.iterate(deadLettersRange(this.remote))
    try {
      const entries = await cursor.next(limit)
      return entries.map(([, value]) => decodeLetterEntry(value).letter)
    } finally {
      await cursor.close()
    }
  }

  replay(scope: ReplayScope, { dryRun }: { readonly dryRun: boolean }): Promise<PurgePreview> {
    return this.#inTurn(() =>
      scope.from === 'failed' ? this.#replayFailed(dryRun) : this.#rewind(scope.from, dryRun),
    )
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

  wants(place: Omit<FeedPlace, 'since'>): boolean {
    return this.#isWanted(place)
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

  async #take(limit: number): Promise<readonly FeedPlace[]> {
    const again = this.#takeAgain(limit)
    if (again.length === limit) return again
    const removed = new Set(this.#state.removedUnwritten())
    const stopWatching = this.#state.watchRemovals(({ seq }) => removed.add(seq))
    try {
      let after = this.#state.high
      for (;;) {
        const places = await this.#options.feed.readPlaces(after, limit - again.length)
        const still = places.filter((place) => !removed.has(place.seq) && this.#isWanted(place))
        for (const place of still) this.#state.take(place.seq, place.since)
        const last = places.at(-1)
        if (last !== undefined) this.#state.passTo(last.seq)
        // Nothing at all is answered only at the end of the feed: nobody would ask again.
        if (again.length + still.length > 0 || last === undefined) return [...again, ...still]
        after = last.seq
      }
    } finally {
      stopWatching()
    }
  }

  #takeAgain(limit: number): FeedPlace[] {
    const places: FeedPlace[] = []
    while (places.length < limit) {
      const seq = this.#again.shift()
      if (seq === undefined) break
      if (!this.#state.outstanding.has(seq)) continue
      const entry = this.#options.index.get(changeKey(seq))
      if (entry !== undefined) places.push(decodeChangeEntry(seq, entry))
    }
    return places
  }

  async #replayFailed(dryRun: boolean): Promise<PurgePreview> {
    const letters = await this.#allLetters()
    if (dryRun || letters.length === 0) return totalOf(letters)
    const requeued: DeadLetter[] = []
    await this.#options.pipeline.runTask((batch) => {
      const context = this.#options.sequencer.effectContext(batch)
      for (const letter of letters) {
        if (batch.read(changeKey(letter.seq)) === undefined || this.#state.isPending(letter.seq))
          continue
        closeLetter(context, this.remote, letter.seq)
        this.#state.requeue({ seq: letter.seq, bytes: letter.bytes, since: context.now })
        requeued.push(letter)
      }
      this.#options.accounts.ledgerChanged(this.remote)
    })
    this.handOutAgain()
    this.#notifyRewind()
    return totalOf(requeued)
  }

  async #requeue(seqs: readonly number[]): Promise<number> {
    const requeued: number[] = []
    await this.#options.pipeline.runTask((batch) => {
      const context = this.#options.sequencer.effectContext(batch)
      for (const seq of seqs) {
        const entry = batch.read(changeKey(seq))
        if (entry === undefined || this.#state.isPending(seq)) continue
        const place = decodeChangeEntry(seq, entry)
        if (!this.#isWanted(place)) continue
        closeLetter(context, this.remote, seq)
        this.#state.requeue({ seq, bytes: place.bytes, since: context.now })
        requeued.push(seq)
      }
      this.#options.accounts.ledgerChanged(this.remote)
    })
    if (requeued.length > 0) {
      this.handOutAgain()
      this.#notifyRewind()
    }
    return requeued.length
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

  #isWanted(place: Omit<FeedPlace, 'since'>): boolean {
    const facts = this.#factsOf(place)
    return facts !== undefined && this.#state.wants(facts)
  }

  /** Undefined when a newer mutation has the slot by now: then the place is about to leave the feed. */
  #factsOf(place: Omit<FeedPlace, 'since'>): PlaceFacts | undefined {
    const { seq, slot, bytes } = place
    // Only what was deleted before the link began is passed over for being a delete.
    if (seq > this.#state.link.begunAt || bytes > 0) return { seq, slot, bytes, removes: false }
    if (slot.kind !== 'object') return { seq, slot, bytes, removes: slot.kind === 'floor' }
    const { index } = this.#options
    const live = index.get(objectKey(slot.bucket, slot.key))
    if (live !== undefined && decodeLiveEntry(live).seq === seq) {
      return { seq, slot, bytes, removes: false }
    }
    const tombstone = index.get(tombstoneKey(slot.bucket, slot.key))
    const isTombstone = tombstone !== undefined && decodeTombstone(tombstone).seq === seq
    return isTombstone ? { seq, slot, bytes, removes: true } : undefined
  }

  /** Everything above `from` that is done becomes pending. */
  async #rewind(from: number, dryRun: boolean): Promise<PurgePreview> {
    if (from >= this.#state.high) return { count: 0, bytes: 0 }
    if (dryRun) return this.#goBack(from, undefined)
    const letters = await this.#allLetters()
    return this.#goBack(from, (regained, context) => {
      for (const { seq } of letters) if (seq > from) closeLetter(context, this.remote, seq)
      this.#state.rewind(from, { places: regained.count, bytes: regained.bytes })
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
    const done = await this.#doneAbove(from)
    try {
      if (move === undefined) return done.total()
      let regained: PurgePreview = { count: 0, bytes: 0 }
      await this.#change((context) => {
        regained = done.total()
        move(regained, context)
      })
      this.handOutAgain()
      this.#notifyRewind()
      return regained
    } finally {
      done.stop()
    }
  }

  /**
   * What is done above `from`, kept right while writers go on. For a remote that wants everything it
   * is all places, less those at or below `from`, less what is pending: so only the lower part is
   * counted, and nothing for 0. For any other the places that concern it are counted up to `high`,
   * which only a taker moves, and takers wait.
   */
  async #doneAbove(from: number): Promise<{ total(): PurgePreview; stop(): void }> {
    const { accounts } = this.#options
    if (!this.#state.wantsEverything) {
      const { high } = this.#state
      const above = await this.#count(from, high)
      const total = (): PurgePreview => {
        const pending = this.#outstandingIn(from, high, above.bytesOf)
        return {
          count: above.total.count - pending.count,
          bytes: above.total.bytes - pending.bytes,
        }
      }
      return { total, stop: above.stop }
    }
    const below = await this.#count(0, from)
    const total = (): PurgePreview => {
      const { places, placeBytes } = accounts.state
      const pendingBelow = this.#outstandingIn(0, from, below.bytesOf)
      const pending = this.#state.pending - pendingBelow.count
      const pendingBytes = this.#state.pendingBytes - pendingBelow.bytes
      const count = places - below.total.count - pending
      return { count, bytes: placeBytes - below.total.bytes - pendingBytes }
    }
    return { total, stop: below.stop }
  }

  /**
   * Live places above `after` up to `upTo` that concern this remote, kept right while writers go on:
   * only removals can change it.
   */
  async #count(after: number, upTo: number): Promise<LiveCount> {
    const total = { count: 0, bytes: 0 }
    const { index, pipeline } = this.#options
    const bytesOf = (seq: number): number => {
      const entry = index.get(changeKey(seq))
      return entry === undefined ? 0 : decodeChangeEntry(seq, entry).bytes
    }
    let stop = (): void => undefined
    const removed = new Set<number>()
    let walked = after
    // From the building of a batch on: what that batch removed before is not in the snapshot either.
    await pipeline.runTask(() => {
      stop = this.#state.watchRemovals((place) => {
        if (place.seq <= after || place.seq > upTo) return
        removed.add(place.seq)
        if (place.seq > walked || !this.#state.wants(place)) return
        total.count--
        total.bytes -= place.bytes
      })
    })
    if (upTo <= after) return { total, bytesOf, stop }
    const range = { gte: changeKey(after + 1), lt: changeKey(upTo + 1) }
    for await (const entries of readChunks(index, range)) {
      for (const [key, value] of entries) {
        walked = seqOf(key)
        if (removed.has(walked)) continue
        const place = decodeChangeEntry(walked, value)
        if (!this.#isWanted(place)) continue
        total.count++
        total.bytes += place.bytes
      }
    }
    return { total, bytesOf, stop }
  }

  #outstandingIn(after: number, upTo: number, bytesOf: (seq: number) => number): PurgePreview {
    let count = 0
    let bytes = 0
    for (const seq of this.#state.outstanding.keys()) {
      if (seq <= after || seq > upTo) continue
      count++
      bytes += bytesOf(seq)
    }
    return { count, bytes }
  }

  async #allLetters(): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = []
    for await (const entries of readChunks(this.#options.index, deadLettersRange(this.remote))) {
      for (const [, value] of entries) letters.push(decodeLetterEntry(value).letter)
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

  #notifyRewind(): void {
    for (const listener of this.#rewindListeners) listener()
  }
}

function totalOf(letters: readonly DeadLetter[]): PurgePreview {
  return { count: letters.length, bytes: letters.reduce((sum, letter) => sum + letter.bytes, 0) }
}
