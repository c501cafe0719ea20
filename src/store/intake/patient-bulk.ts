/**
 * The bulk stream as uploads write it: an upload that was admitted may find that the cleaner has taken
 * the room for what it is moving. That comes back when the segment is freed, so it waits.
 */
import { VolumeFullError } from '../../volume/format/errors.ts'
import {
  type Location,
  type RecordInput,
  recordLength,
  type SegmentInfo,
} from '../../volume/volume.ts'
import type { BulkLog } from '../bodies/blob-writer.ts'
import type { Admission } from '../write/admission.ts'

/** Segments that are freed for one chunk, or looks whether one can be. */
const roundsMax = 64

export class PatientBulk implements BulkLog {
  readonly #log: BulkLog
  readonly #admission: Admission

  constructor(log: BulkLog, admission: Admission) {
    this.#log = log
    this.#admission = admission
  }

  get limits(): BulkLog['limits'] {
    return this.#log.limits
  }

  segments(): readonly SegmentInfo[] {
    return this.#log.segments()
  }

  async appendBulk(record: RecordInput): Promise<Location> {
    const patience = this.#admission.patience()
    for (let round = 0; ; round++) {
      try {
        return await this.#log.appendBulk(record)
      } catch (thrown) {
        if (!(thrown instanceof VolumeFullError) || round === roundsMax) throw thrown
        if (!(await this.#admission.makeRoom(recordLength(record), patience))) throw thrown
      }
    }
  }
}
