/**
 * Writes the superblock: which segments there must be. A segment that is lost together with the
 * newest ones behind it is known by nothing else.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { LogPosition, SegmentUse } from '../format/record.ts'
import { combineCensus } from '../format/segment-census.ts'
import { encodeSuperblock, type LogEnd, registerEntriesMax } from '../format/superblock.ts'
import type { VolumeContext } from '../segments/volume-context.ts'

export class SegmentRegister {
  readonly #context: VolumeContext
  /** Decided, and perhaps still on the device: every superblock names it until it is gone. */
  #freed: SegmentUse | undefined
  /** The stored one may lack a segment. */
  #outdated = true

  constructor(context: VolumeContext) {
    this.#context = context
  }

  /** A segment was begun; the superblock follows beside everything else. */
  begun(): void {
    this.#outdated = true
    this.#context.inBackground('the register of segments was not written', () => this.flush())
  }

  /** Writes what is not written yet. A failure leaves it to the next segment, and to closing. */
  flush(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#outdated) await this.#store(undefined)
    })
  }

  /** The last superblock of a volume that is closed in order. */
  close(end: LogPosition): Promise<void> {
    return this.#inTurn(() => this.#store(end))
  }

  /**
   * Leaves out `freed`, which is no longer in the table. Only in a step of `naming`.
   * @throws the device's error
   */
  async storeFreed(freed: SegmentUse): Promise<void> {
    const before = this.#freed
    this.#freed = freed
    try {
      await this.#store(undefined)
    } catch (error) {
      this.#freed = before
      this.#outdated = true
      throw error
    }
  }

  /** What was freed last is gone from the device. */
  removed(): void {
    this.#freed = undefined
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const { naming, logger } = this.#context
    return naming.run(async () => {
      // A segment that could be neither written nor removed is in no census; the next opening sees it.
      if (this.#context.readOnlyReason !== undefined) return
      try {
        await work()
      } catch (error) {
        rethrowAssertion(error)
        logger.warn({ error }, 'the register of segments was not written')
      }
    })
  }

  async #store(logEnd: LogEnd | undefined): Promise<void> {
    const { device, identity, limits, table } = this.#context
    const { highestGeneration } = table
    const { log, bulk } = table.census(highestGeneration)
    this.#outdated = false
    try {
      await device.writeSuperblock(
        encodeSuperblock({
          identity,
          segmentBytes: limits.segmentBytes,
          highestGeneration,
          census: { log, bulk: combineCensus(bulk, table.missing.census) },
          freed: this.#freed,
          logEnd,
          slotsEnd: table.slotsEnd,
          register: table.register().slice(0, registerEntriesMax),
        }),
      )
    } catch (error) {
      this.#outdated = true
      throw error
    }
  }
}
