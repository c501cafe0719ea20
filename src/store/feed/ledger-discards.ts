/**
 * What one ledger has given up for good, and takes back when somebody has it sent after all: dead letters
 * that are closed, and deletes that were held. Written down before it takes effect. Callers take turns.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import {
  type DiscardedRange,
  type Discards,
  isBlank,
  isDiscarded,
  withLetters,
  withoutPlaces,
  withoutRange,
  withRemovals,
} from '../model/discards.ts'
import type { ChangeFeed, DeadLetter, FeedPlace } from '../model/object-store.ts'
import { closeLetter } from '../tables/effects.ts'
import { changeKey } from '../tables/keys.ts'
import type { PlaceFacts } from '../tables/ledger-state.ts'
import { deadLetterRecord } from '../tables/records.ts'
import type { Sequencer } from '../write/sequencer.ts'

/** Where it is kept: the record of the remote. */
export interface DiscardRegister {
  current(): Discards
  /** Durable when resolved. */
  write(change: (discards: Discards) => Discards): Promise<void>
}

export interface LedgerDiscardsOptions {
  readonly remote: string
  readonly register: DiscardRegister
  readonly index: OrderedIndex
  readonly feed: ChangeFeed
  readonly sequencer: Sequencer
  /** Undefined when a newer mutation has the slot by now. */
  readonly factsOf: (
    place: Pick<FeedPlace, 'seq' | 'slot' | 'bytes'>,
  ) => Pick<PlaceFacts, 'removes'> | undefined
}

export class LedgerDiscards {
  readonly #options: LedgerDiscardsOptions

  constructor(options: LedgerDiscardsOptions) {
    this.#options = options
  }

  get isBlank(): boolean {
    return isBlank(this.#options.register.current())
  }

  /** Whether it was given up and not asked for since. */
  has(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean {
    const { register, factsOf } = this.#options
    const discards = register.current()
    if (isBlank(discards)) return false
    const { seq } = place
    if (isDiscarded(discards, { seq, removes: false })) return true
    if (!isDiscarded(discards, { seq, removes: true })) return false
    return factsOf({ ...place, bytes: 0 })?.removes === true
  }

  /** @returns those that were closed by this */
  async closeLetters(letters: readonly DeadLetter[]): Promise<readonly DeadLetter[]> {
    if (letters.length === 0) return []
    const { remote, sequencer } = this.#options
    const seqs = letters.map(({ seq }) => seq)
    await this.#write((discards) => withLetters(discards, seqs))
    const closed: DeadLetter[] = []
    await Promise.all(
      letters.map((letter) =>
        sequencer.sequenceUnplaced(deadLetterRecord(remote, letter, 'discarded'), (context) => {
          if (closeLetter(context, remote, letter.seq)) closed.push(letter)
        }),
      ),
    )
    return closed
  }

  async addRemovals(range: DiscardedRange): Promise<void> {
    const { after, through } = range
    const { removals } = this.#options.register.current()
    const isThere = removals.some((known) => known.after <= after && through <= known.through)
    if (after < through && !isThere) await this.#write((found) => withRemovals(found, range))
  }

  /** These are to be sent after all. */
  async withdraw(places: readonly Pick<FeedPlace, 'seq' | 'slot'>[]): Promise<void> {
    const seqs = places.filter((place) => this.has(place)).map(({ seq }) => seq)
    if (seqs.length > 0) await this.#write((discards) => withoutPlaces(discards, seqs))
  }

  async withdrawRange(range: DiscardedRange): Promise<void> {
    const { letters, removals } = this.#options.register.current()
    const isIn =
      letters.some((seq) => seq > range.after && seq <= range.through) ||
      removals.some(({ after, through }) => through > range.after && after < range.through)
    if (isIn) await this.#write((discards) => withoutRange(discards, range))
  }

  /** Forgets with every change what has left the feed since: it cannot be offered again. */
  async #write(change: (discards: Discards) => Discards): Promise<void> {
    const { register, index, feed } = this.#options
    const empty = new Set<DiscardedRange>()
    for (const range of register.current().removals) {
      const [first] = await feed.readPlaces(range.after, 1)
      if (first === undefined || first.seq > range.through) empty.add(range)
    }
    await register.write((discards) => {
      const { letters, removals } = discards
      return change({
        letters: letters.filter((seq) => index.get(changeKey(seq)) !== undefined),
        removals: removals.filter((range) => !empty.has(range)),
      })
    })
  }
}
