/**
 * Replays of selections, of one ledger: counts what is selected, and queues it again step by step.
 * Callers take turns, so that nothing is handed out while a step decides what is done.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { TooManyReplaysError } from '../model/errors.ts'
import type { DeadLetter, FeedPlace, PurgePreview, ReplayFilter } from '../model/object-store.ts'
import { isSelected, type ReplaySelection, replaysMax } from '../model/replay-selection.ts'
import { decodeChangeEntry } from '../tables/change-entry.ts'
import { closeLetter, type EffectContext } from '../tables/effects.ts'
import { changeKey, changesAfter, deadLettersAfter, seqOf } from '../tables/keys.ts'
import type { LedgerState } from '../tables/ledger-state.ts'
import { decodeLetterEntry } from '../tables/letter-entry.ts'
import type { LedgerDiscards } from './ledger-discards.ts'

/** Places or letters looked at in one step. */
const lookMax = 1000

type Candidate = FeedPlace | DeadLetter

export interface LedgerReplaysOptions {
  readonly remote: string
  readonly state: LedgerState
  readonly index: OrderedIndex
  readonly discards: LedgerDiscards
  /** Whether the place concerns the remote. */
  readonly isWanted: (place: FeedPlace) => boolean
  /** Runs `build` with the next index batch, which writes the ledger too. */
  readonly change: (build: (context: EffectContext) => void) => Promise<void>
}

export class LedgerReplays {
  readonly #options: LedgerReplaysOptions

  constructor(options: LedgerReplaysOptions) {
    this.#options = options
  }

  /** What is selected and done, and whether it was written down to be queued again. */
  async begin(
    source: ReplaySelection['source'],
    filter: ReplayFilter,
    { dryRun }: { readonly dryRun: boolean },
  ): Promise<PurgePreview> {
    const { state, change } = this.#options
    const through = state.high
    const found = await this.#count({ source, filter, after: 0, through, left: 0 })
    const { first, count, bytes } = found
    if (dryRun || first === undefined) return { count, bytes }
    if (state.replays.length >= replaysMax) throw new TooManyReplaysError(this.#options.remote)
    await change(() => {
      const replay = { source, filter, after: first - 1, through, left: count }
      state.replays = [...state.replays, replay]
    })
    return { count, bytes }
  }

  /** Queues up to `room` again; what it queued, ascending. */
  async step(room: number): Promise<readonly number[]> {
    const { state, discards, change } = this.#options
    const [replay] = state.replays
    if (replay === undefined) return []
    const looked = await this.#read(replay)
    const within = looked.filter(({ seq }) => seq <= replay.through)
    const found = within.filter((one) => this.#isWanted(replay, one)).slice(0, room)
    const last = (found.length === room ? found : within).at(-1)
    const isCut = within.length === lookMax || found.length === room
    const hasMore = isCut && last !== undefined && last.seq < replay.through
    if (found.length === 0 && hasMore) {
      replay.after = last.seq
      return []
    }
    const queued: number[] = []
    await discards.withdraw(found)
    await change((context) => {
      for (const one of found) if (this.#requeue(context, one)) queued.push(one.seq)
      replay.after = last?.seq ?? replay.through
      replay.left = Math.max(0, replay.left - found.length)
      if (!hasMore) state.replays = state.replays.filter((other) => other !== replay)
    })
    return queued
  }

  #isWanted({ filter }: ReplaySelection, one: Candidate): boolean {
    const { state, isWanted } = this.#options
    if (state.isPending(one.seq) || !isSelected(filter, one)) return false
    // A letter is about a place that concerned the remote when it was sent.
    return !('since' in one) || isWanted(one)
  }

  /** A newer mutation may have taken the place since it was read. */
  #requeue(context: EffectContext, { seq, bytes }: Candidate): boolean {
    const { remote, state } = this.#options
    if (context.batch.read(changeKey(seq)) === undefined || state.isPending(seq)) return false
    closeLetter(context, remote, seq)
    state.requeue({ seq, bytes, since: context.now })
    return true
  }

  async #count(replay: ReplaySelection): Promise<PurgePreview & { readonly first?: number }> {
    let first: number | undefined
    let count = 0
    let bytes = 0
    for (let after = replay.after; after < replay.through; ) {
      const looked = await this.#read({ ...replay, after })
      for (const one of looked) {
        if (one.seq > replay.through || !this.#isWanted(replay, one)) continue
        first ??= one.seq
        count++
        bytes += one.bytes
      }
      after = looked.length < lookMax ? replay.through : (looked.at(-1)?.seq ?? replay.through)
    }
    return first === undefined ? { count, bytes } : { count, bytes, first }
  }

  async #read({ source, after }: ReplaySelection): Promise<readonly Candidate[]> {
    const { index, remote } = this.#options
    const range = source === 'places' ? changesAfter(after) : deadLettersAfter(remote, after)
    const cursor = index.iterate(range)
    try {
      const entries = await cursor.next(lookMax)
      return entries.map(([key, value]) =>
        source === 'places'
          ? decodeChangeEntry(seqOf(key), value)
          : decodeLetterEntry(value).letter,
      )
    } finally {
      await cursor.close()
    }
  }
}
