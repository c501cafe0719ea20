/**
 * Copies what is still live in a log segment to the log's end, many records in one group, so that the
 * segment can be freed. A delete that came alone takes a block of the log, and the trace that has to
 * stay of it a fortieth of that.
 */
import { type Clock, delay } from '../../base/clock.ts'
import { blockBytes } from '../../volume/format/limits.ts'
import type { ListedRecord, SegmentUse } from '../../volume/volume.ts'
import type { Accounts } from '../tables/accounts.ts'
import type { SegmentCount } from '../tables/small-entries.ts'
import type { LiveRecords } from './live-records.ts'

/** Brings what is live in a segment elsewhere, in bounded steps between which others write. */
export interface Mover {
  /** Bytes that so much takes when it is written again. */
  costOf(live: SegmentCount): number
  move(segment: SegmentUse, under: MoveUnderWay): Promise<void>
}

export interface MoveUnderWay {
  readonly signal: AbortSignal
  /** Whether it is worth while, and there is room, now that the cost is known. */
  readonly accepts: (cost: number) => boolean
  /** The offsets of those that are moved behind all others: whoever is stopped before finds them again. */
  readonly last?: ReadonlySet<number>
  /** So much was moved: resolves when the next step may begin. */
  readonly moved: (step: MovedStep) => Promise<void>
}

export interface MovedStep {
  readonly records: number
  readonly bytes: number
}

/** What the mover needs of the volume. */
export interface MovableLog {
  readonly limits: { readonly groupBytesMax: number; readonly inlineBytesMax: number }
  recordsOf(use: SegmentUse): Promise<readonly ListedRecord[]>
}

export interface RecordMoverOptions {
  readonly volume: MovableLog
  readonly accounts: Accounts
  readonly records: LiveRecords
  readonly clock: Clock
}

/** Of the footer and of the group, for each record, besides its label. */
const recordOverhead = 32
/** What is assumed of a label before it was read. */
const labelBytes = 64
const recordsPerStep = 512
const lookupsPerStep = 1024
/** On their way into log and index. */
const stepsAtOnce = 4

export class RecordMover implements Mover {
  readonly #options: RecordMoverOptions

  constructor(options: RecordMoverOptions) {
    this.#options = options
  }

  costOf({ records, bytes }: SegmentCount): number {
    return this.#costFor(records, bytes + records * labelBytes)
  }

  async move(segment: SegmentUse, under: MoveUnderWay): Promise<void> {
    const live = await this.#findLive(segment, under.signal)
    // Something in it has to stay: then nothing is gained by moving the rest.
    if (live.length < this.#liveIn(segment)) return
    const { last } = under
    if (last !== undefined) {
      const isLast = ({ location }: ListedRecord): number => Number(last.has(location.offset))
      live.sort((a, b) => isLast(a) - isLast(b))
    }
    const bytes = live.reduce((sum, record) => sum + bytesOf(record) + record.label.length, 0)
    if (!under.accepts(this.#costFor(live.length, bytes))) return
    await this.#moveAll(live, under)
  }

  /** While one step is on its way into log and index, the next ones are read. */
  async #moveAll(live: readonly ListedRecord[], under: MoveUnderWay): Promise<void> {
    const { records } = this.#options
    const moving: Promise<unknown>[] = []
    try {
      for (const step of this.#stepsOf(live)) {
        if (under.signal.aborted) break
        const bodies = await Promise.all(step.map((record) => records.bodyOf(record)))
        const done = Promise.all(step.map((record, at) => records.move(record, bodies[at])))
        done.catch(() => undefined) // thrown again where it is awaited
        moving.push(done)
        await moving.at(-stepsAtOnce)
        const bytes = step.reduce((sum, record) => sum + bytesOf(record), 0)
        await under.moved({ records: step.length, bytes })
      }
    } finally {
      await Promise.allSettled(moving)
    }
    await Promise.all(moving)
  }

  /** With a group's padding for each step. */
  #costFor(records: number, bytes: number): number {
    const steps = Math.ceil(bytes / this.#stepBytes) + Math.ceil(records / recordsPerStep)
    return bytes + records * recordOverhead + steps * blockBytes
  }

  get #stepBytes(): number {
    const { groupBytesMax, inlineBytesMax } = this.#options.volume.limits
    return Math.max(inlineBytesMax, groupBytesMax / 4)
  }

  async #findLive(segment: SegmentUse, signal: AbortSignal): Promise<ListedRecord[]> {
    const { volume, records, clock } = this.#options
    const live: ListedRecord[] = []
    const all = await volume.recordsOf(segment)
    for (const [at, record] of all.entries()) {
      if (at % lookupsPerStep === lookupsPerStep - 1) await delay(clock, 0, signal)
      if (records.ownerOf(record) !== undefined) live.push(record)
    }
    return live
  }

  *#stepsOf(records: readonly ListedRecord[]): Generator<readonly ListedRecord[]> {
    let step: ListedRecord[] = []
    let bytes = 0
    for (const record of records) {
      const more = bytesOf(record)
      if (step.length === recordsPerStep || (bytes > 0 && bytes + more > this.#stepBytes)) {
        yield step
        step = []
        bytes = 0
      }
      step.push(record)
      bytes += more
    }
    if (step.length > 0) yield step
  }

  #liveIn({ segment, generation }: SegmentUse): number {
    return this.#options.accounts.liveIn(segment, generation).records
  }
}

function bytesOf({ location }: ListedRecord): number {
  return location.headLength + location.bodyLength
}
