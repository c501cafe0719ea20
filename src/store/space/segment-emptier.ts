/**
 * Brings what is live in a damaged segment of the log elsewhere, whatever that gains, so that the segment
 * goes: as long as it is there, its damage is in the way of an index that is built anew, also where it
 * has hit what is dead by now.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { SegmentUse } from '../../volume/volume.ts'
import type { Accounts } from '../tables/accounts.ts'
import type { Admission } from '../write/admission.ts'
import { Pace } from './pace.ts'
import { type MovableLog, RecordMover, type RecordMoverOptions } from './record-mover.ts'

export interface SegmentEmptierOptions extends RecordMoverOptions {
  readonly volume: MovableLog & {
    isRoomFor(
      bytes: number,
      options: { readonly essential: boolean; readonly stream?: 'log' },
    ): boolean
  }
  readonly admission: Pick<Admission, 'promiseMove'>
  /** Resolves when segments without a live record are gone. */
  readonly freed: () => Promise<void>
  /** Bytes per second; 0 for no limit. */
  readonly rate: number
}

/** A write that is under way decides what becomes of a record: it is looked at so often, with pauses. */
const looksMax = 10
const pauseMs = 100

export class SegmentEmptier {
  readonly #options: SegmentEmptierOptions
  readonly #mover: RecordMover

  constructor(options: SegmentEmptierOptions) {
    this.#options = options
    this.#mover = new RecordMover(options)
  }

  /**
   * @param damaged offsets of what is in it; it is moved last, so that whoever goes on after a stop finds it
   * @returns why it could not be emptied; undefined when nothing in it is live any more
   */
  async empty(
    segment: SegmentUse,
    damaged: ReadonlySet<number>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { clock, freed } = this.#options
    for (let looks = 0; this.#liveIn(segment).records > 0; looks++) {
      if (looks > 0) await delay(clock, pauseMs, signal)
      if (signal.aborted) return 'it was stopped'
      if (looks === looksMax) return 'something in its segment cannot be moved'
      const problem = await this.#move(segment, damaged, signal)
      if (problem !== undefined) return problem
    }
    await freed()
    return undefined
  }

  /** The reserve is left alone: a whole segment may take as much as it gives back. */
  async #move(
    segment: SegmentUse,
    last: ReadonlySet<number>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { volume, admission, clock, rate } = this.#options
    const cost = this.#mover.costOf(this.#liveIn(segment))
    const accepts = (bytes: number): boolean =>
      volume.isRoomFor(bytes, { essential: false, stream: 'log' })
    if (!accepts(cost)) return 'there is no room for what is live in its segment'
    const promise = admission.promiseMove(cost)
    const pace = new Pace({ clock, rate, signal })
    try {
      await this.#mover.move(segment, {
        ...{ signal, accepts, last },
        moved: async ({ bytes }) => {
          promise.spend(bytes)
          await pace.step(bytes, { isUrgent: false })
        },
      })
      return undefined
    } catch (thrown) {
      rethrowAssertion(thrown)
      return messageOf(thrown)
    } finally {
      promise.release()
    }
  }

  #liveIn({ segment, generation }: SegmentUse): ReturnType<Accounts['liveIn']> {
    return this.#options.accounts.liveIn(segment, generation)
  }
}
