/**
 * Gives sealed segments without a live record back. A log segment is only looked at once everything
 * in it has been indexed; a bulk segment not while a writer may have bytes in it.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { SegmentInfo } from '../../volume/volume.ts'
import type { OpenWriters } from '../bodies/blob-writer.ts'
import type { Accounts } from '../tables/accounts.ts'

export interface SegmentOwner {
  readonly logMayHoldFailed: boolean
  segments(): readonly SegmentInfo[]
  freeSegment(segment: number, generation: number): Promise<void>
}

export class SegmentFreer {
  readonly #volume: SegmentOwner
  readonly #accounts: Accounts
  readonly #writers: OpenWriters
  readonly #logger: Logger
  #looked = ''
  #stopped = false
  /** How many segments were freed so far. */
  freedCount = 0
  readonly #freeing = new Map<number, Promise<void>>()

  constructor(options: {
    readonly volume: SegmentOwner
    readonly accounts: Accounts
    readonly writers: OpenWriters
    readonly logger: Logger
  }) {
    this.#volume = options.volume
    this.#accounts = options.accounts
    this.#writers = options.writers
    this.#logger = options.logger
  }

  /**
   * Frees what can be freed now. Called after each index batch and writer, so it goes through the segments only
   * when one may have become free: the last record of one died, a writer has closed, or the index has
   * all of another log segment.
   */
  look(): void {
    if (this.#stopped) return
    const generation = this.#accounts.state.checkpoint?.generation
    const failed = this.#volume.logMayHoldFailed
    const looked = `${this.#accounts.emptiedCount}/${this.#writers.changes}/${generation}/${failed}`
    if (looked === this.#looked) return
    this.#looked = looked
    for (const segment of this.#volume.segments()) {
      if (this.#freeing.has(segment.segment) || !this.#isDead(segment)) continue
      this.#free(segment)
    }
  }

  /** Nothing is freed any more: an upload that is cut off may end after the store. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.idle()
  }

  async idle(): Promise<void> {
    await Promise.all(this.#freeing.values())
  }

  #isDead({ segment, generation, stream, state }: SegmentInfo): boolean {
    if (state !== 'sealed' || this.#accounts.liveIn(segment, generation).records > 0) return false
    // A put that could not be logged may be in the log all the same after the next start, and its
    // bytes have to be there then.
    if (stream === 'bulk')
      return !this.#volume.logMayHoldFailed && !this.#writers.mayUse(generation)
    const { checkpoint } = this.#accounts.state
    return checkpoint !== undefined && generation < checkpoint.generation
  }

  #free({ segment, generation }: SegmentInfo): void {
    const freed = this.#volume
      .freeSegment(segment, generation)
      .then(() => {
        this.freedCount++
      })
      .catch((thrown: unknown) => {
        rethrowAssertion(thrown)
        // Looked at again before long; until then only its space is held.
        this.#looked = ''
        this.#logger.warn({ segment, error: messageOf(thrown) }, 'A segment could not be freed')
      })
      .finally(() => this.#freeing.delete(segment))
    this.#freeing.set(segment, freed)
  }
}
