/** What the ledger asks of whoever decides when a change may be handed out. */
import type { FeedPlace } from './feed-place.ts'

/** What a guard remembers, durable with the position: plain numbers, times in wall ms. */
export interface GuardMemory {
  /** When the window began in which deletes are counted; 0 for none. */
  windowSince: number
  /** Objects that were removed in it, and how many there were when it began. */
  removed: number
  base: number
  /** Places up to here have waited long enough, whatever their time says. */
  dueThrough: number
  /** Places up to `markThrough` were there at `markSince`. */
  markThrough: number
  markSince: number
}

/** A delete or purge that is about to be handed out. */
export interface Removal {
  /** Objects that it removes, at most. */
  readonly objects: number
  /** It was decided about before: it goes on without being counted. */
  readonly isDecided: boolean
  /** Live objects here, this one's among them; undefined where the guard did not ask for it. */
  readonly base: number | undefined
}

/** Who decides whether a place may be handed out now. */
export interface TakeGuard {
  /** What was asked last is not due yet, so that nothing is. */
  isWaiting(memory: GuardMemory): boolean
  /** {@link Removal.base} must be known for places that are looked at now. */
  needsBase(memory: GuardMemory): boolean
  /**
   * Asked once for each place, in the order of the feed. `wait`: not yet, and nothing behind it either.
   * `hold`: it, and all removals behind it, until they are released or discarded.
   */
  judge(
    place: FeedPlace,
    removal: Removal | undefined,
    memory: GuardMemory,
  ): 'take' | 'hold' | 'wait'
  /** It was not handed out, since it or one before it is held. */
  held(place: FeedPlace): void
}
