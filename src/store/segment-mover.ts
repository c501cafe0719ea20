/**
 * Makes room when space is short: copies what is still live in a sparse log segment to the log's end,
 * many records in one group, so that the segment can be freed. A delete that came alone takes a block
 * of the log, and the trace that has to stay of it a fortieth of that.
 *
 * One segment at a time, the one with the least in it, in bounded steps between which others write.
 */
import { rethrowAssertion } from '../base/assert.ts'
import { type Clock, delay } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { ListedRecord, SegmentInfo, SegmentUse } from '../volume/volume.ts'
import type { Accounts } from './accounts.ts'
import type { Admission } from './admission.ts'
import type { LiveRecords } from './live-records.ts'

/** What the mover needs of the volume. */
export interface MovableLog {
  readonly limits: {
    readonly segmentBytes: number
    readonly groupBytesMax: number
    readonly inlineBytesMax: number
  }
  segments(): readonly SegmentInfo[]
  recordsOf(use: SegmentUse): Promise<readonly ListedRecord[]>
  isRoomFor(
    bytes: number,
    options: { readonly essential: boolean; readonly leave?: number },
  ): boolean
}

export interface SegmentMoverOptions {
  readonly volume: MovableLog
  readonly accounts: Accounts
  readonly records: LiveRecords
  readonly admission: Admission
  /** Resolves when segments without a live record are gone. */
  readonly freed: () => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

/** Of the footer and of the group, for each record, besides its label. */
const recordOverhead = 32
/** What is assumed of a label before it was read. */
const labelBytes = 64
const recordsPerStep = 512
const lookupsPerStep = 1024
/** What a group is filled up to. */
const blockBytes = 4096
/** Left for a purge. */
const purgeBytes = 8192
/** Looks to let pass after one that found nothing. */
const restLooks = 32

export class SegmentMover {
  readonly #options: SegmentMoverOptions
  #running: Promise<boolean> | undefined
  #rest = 0
  /** Writes that wait for room. */
  #waiting = 0
  /** Segments that something else holds, and what they held then. */
  readonly #held = new Map<number, number>()
  readonly #stop = new AbortController()

  constructor(options: SegmentMoverOptions) {
    this.#options = options
  }

  /** Called after each index batch. */
  look(): void {
    if (this.#rest-- <= 0) this.lookNow()
  }

  /**
   * Begins in the background when writes are about to be refused, a segment ahead of them, and goes on
   * as long as that helps.
   */
  lookNow(): void {
    const { volume } = this.#options
    if (volume.isRoomFor(volume.limits.segmentBytes, { essential: false })) return
    void this.#start()
  }

  /** Frees a segment, if one can be freed at all, for a write that has no room otherwise. */
  async makeRoom(): Promise<boolean> {
    this.#waiting++
    try {
      // The one under way may have been begun for less.
      return (await this.#start()) || (await this.#start())
    } finally {
      this.#waiting--
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  #start(): Promise<boolean> {
    if (this.#stop.signal.aborted) return Promise.resolve(false)
    this.#running ??= this.#run().then((hasFreed) => {
      this.#running = undefined
      if (hasFreed) this.lookNow()
      return hasFreed
    })
    return this.#running
  }

  async #run(): Promise<boolean> {
    const segment = this.#choose()
    if (segment === undefined) {
      this.#rest = restLooks
      return false
    }
    const promise = this.#options.admission.promise(this.#costOf(segment))
    try {
      await this.#move(segment, (bytes) => promise.spend(bytes))
    } catch (thrown) {
      rethrowAssertion(thrown)
      const facts = { segment: segment.segment, error: messageOf(thrown) }
      this.#options.logger.warn(facts, 'The live records of a segment could not be moved')
    } finally {
      promise.release()
    }
    await this.#options.freed()
    if (!this.#isThere(segment)) return true
    this.#held.set(segment.generation, this.#liveIn(segment))
    return false
  }

  /** The one that costs least; nothing when no segment is worth it or there is no room for what it has. */
  #choose(): SegmentInfo | undefined {
    const { volume, accounts } = this.#options
    const { checkpoint } = accounts.state
    const segments = volume.segments()
    const there = new Set(segments.map(({ generation }) => generation))
    for (const generation of this.#held.keys()) {
      if (!there.has(generation)) this.#held.delete(generation)
    }
    let best: SegmentInfo | undefined
    for (const segment of segments) {
      if (segment.stream !== 'log' || segment.state !== 'sealed' || !segment.hasFooter) continue
      if (checkpoint === undefined || segment.generation >= checkpoint.generation) continue
      const live = this.#liveIn(segment)
      if (live === 0 || this.#held.get(segment.generation) === live) continue
      if (!this.#isWorth(segment, this.#costOf(segment))) continue
      if (best === undefined || this.#gainOf(segment) > this.#gainOf(best)) best = segment
    }
    return best !== undefined && this.#hasRoom(this.#costOf(best)) ? best : undefined
  }

  /** Half of it in general; when somebody waits, whatever is more than it costs. */
  #isWorth(segment: SegmentInfo, cost: number): boolean {
    const { segmentBytes } = this.#options.volume.limits
    const gain = segment.bytes - cost
    return this.#waiting > 0 ? gain >= segmentBytes / 16 : gain >= segment.bytes / 2
  }

  #gainOf(segment: SegmentInfo): number {
    return segment.bytes - this.#costOf(segment)
  }

  /** Bytes that its live records take when they are written again. */
  #costOf({ segment, generation }: SegmentInfo): number {
    const { records, bytes } = this.#options.accounts.liveIn(segment, generation)
    return this.#costFor(records, bytes + records * labelBytes)
  }

  /** With a group's padding for each step. */
  #costFor(records: number, bytes: number): number {
    const steps = Math.ceil(bytes / this.#stepBytes) + Math.ceil(records / recordsPerStep)
    return bytes + records * recordOverhead + steps * blockBytes
  }

  #hasRoom(cost: number): boolean {
    return this.#options.volume.isRoomFor(cost + purgeBytes, { essential: true })
  }

  get #stepBytes(): number {
    const { groupBytesMax, inlineBytesMax } = this.#options.volume.limits
    return Math.max(inlineBytesMax, groupBytesMax / 4)
  }

  async #move(segment: SegmentInfo, onMoved: (bytes: number) => void): Promise<void> {
    const live = await this.#findLive(segment)
    // Something in it has to stay: then nothing is gained by moving the rest.
    if (live.length < this.#liveIn(segment)) return
    const bytes = live.reduce((sum, record) => sum + bytesOf(record) + record.label.length, 0)
    const cost = this.#costFor(live.length, bytes)
    if (!this.#isWorth(segment, cost) || !this.#hasRoom(cost)) return
    const { records } = this.#options
    for (const step of this.#stepsOf(live)) {
      if (this.#stop.signal.aborted) return
      const bodies = await Promise.all(step.map((record) => records.bodyOf(record)))
      await Promise.all(step.map((record, at) => records.move(record, bodies[at])))
      onMoved(step.reduce((sum, record) => sum + bytesOf(record), 0))
    }
  }

  async #findLive(segment: SegmentInfo): Promise<readonly ListedRecord[]> {
    const { volume, records, clock } = this.#options
    const live: ListedRecord[] = []
    const all = await volume.recordsOf(segment)
    for (const [at, record] of all.entries()) {
      if (at % lookupsPerStep === lookupsPerStep - 1) await delay(clock, 0, this.#stop.signal)
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

  #isThere({ generation }: SegmentUse): boolean {
    return this.#options.volume.segments().some((info) => info.generation === generation)
  }
}

function bytesOf({ location }: ListedRecord): number {
  return location.headLength + location.bodyLength
}
