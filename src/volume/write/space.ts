/**
 * Space: how many segments can still be opened, and one made ahead so that no group waits for a
 * segment's worth of zeros. Two segments are kept back from ordinary writes, so that deletes, purges
 * and whatever else frees space can be logged when the volume is full.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { systemCodeOf } from '../../base/errors.ts'
import type { DeviceSegment } from '../../device/device.ts'
import { VolumeFullError } from '../format/errors.ts'
import { blockBytes } from '../format/limits.ts'
import type { Stream, VolumeUsage } from '../format/volume-status.ts'
import type { VolumeContext } from '../segments/volume-context.ts'

const reserveSegments = 2
/** Reserve, one open segment per stream, and one to free while the next is written. */
const segmentsMin = reserveSegments + 3
/** How old the device's own figure may be before it is asked for again. */
const freeBytesMaxAgeMs = 1000
/** How long to leave a device alone that could not make a segment ahead. */
const prepareRetryMs = 1000
/** Padding of a group, and a record's header with label and head. */
const lastWriteOverhead = 2 * blockBytes + 1024

/** The smallest capacity that a volume works with. */
export function capacityBytesMin(segmentBytes: number): number {
  return segmentsMin * segmentBytes
}

export interface BlankSegment {
  readonly slot: number
  readonly handle: DeviceSegment
}

export interface RoomOptions {
  /** May use the reserve. */
  readonly essential: boolean
  /** Of the reserve: segments that an essential write leaves to others. */
  readonly leave?: number
  /** Where it goes; the log unless it is an ordinary write too large for a record. */
  readonly stream?: Stream
}

/**
 * What a segment is for. The first segment of a run opens also where there is no room, and what is moved
 * may use the reserve, since it gives more back, and go beyond the capacity, since a whole segment may be
 * free in parts: each sealed one has been trimmed.
 */
export type SegmentPurpose = 'write' | 'opening' | 'move'

export interface SpaceOptions {
  readonly capacityBytes: number | undefined
  readonly freeBytes: number
  /** A slot made ahead by an earlier run. */
  readonly prepared: BlankSegment | undefined
}

export class Space {
  readonly #context: VolumeContext
  readonly #capacityBytes: number | undefined
  /**
   * Slots outside the table that take space: being created, handed out and not yet in the table, or
   * left behind by a failure that nobody knows the outcome of.
   */
  readonly #claimed = new Set<number>()
  #prepared: BlankSegment | undefined
  #preparing: Promise<void> | undefined
  #prepareAfter = 0
  #freeBytes: number
  #freeBytesAt: number
  #refreshing = false

  constructor(context: VolumeContext, options: SpaceOptions) {
    this.#context = context
    this.#capacityBytes = options.capacityBytes
    this.#prepared = options.prepared
    this.#freeBytes = options.freeBytes
    this.#freeBytesAt = context.clock.monotonic()
  }

  usage(writable: boolean): VolumeUsage {
    const usedBytes = this.#usedBytes
    const capacityBytes = this.#capacityBytes ?? usedBytes + this.#freeBytes
    return { capacityBytes, usedBytes, writable }
  }

  /** How many more segments can be opened, those made ahead included. */
  spareSegments(): number {
    this.#refreshWhenOld()
    const ahead = this.#prepared !== undefined || this.#preparing !== undefined ? 1 : 0
    return ahead + this.#creatable()
  }

  /** Whether `bytes` fit behind what `room` the stream's open segment has, and what is kept back stays so. */
  isRoomFor(bytes: number, options: RoomOptions & { readonly room: number }): boolean {
    const reserve = options.essential ? (options.leave ?? 0) : reserveSegments
    const spare = this.spareSegments() - reserve
    return spare >= 0 && bytes + 2 * blockBytes <= options.room + spare * this.#usableBytes
  }

  /** Whether copies of so much could go into a segment beyond the capacity: when there is none left within. */
  isRoomBeyond(bytes: number, room: number): boolean {
    const fits = bytes + 2 * blockBytes <= room + this.#usableBytes
    return fits && this.spareSegments() === 0 && this.#mayExceed('move')
  }

  /** What ordinary writes may take besides the `room` in the open segment, in all. */
  ordinaryRoom(room: number): number {
    return room + (this.spareSegments() - reserveSegments) * this.#usableBytes
  }

  /** Headers, footers and padding take a little of every segment. */
  get #usableBytes(): number {
    const { segmentBytes } = this.#context.limits
    return segmentBytes - segmentBytes / 32 - 2 * blockBytes
  }

  /**
   * The largest write that fits while at most one segment can be opened for ordinary writes, by what
   * `room` the open segments have; undefined while more can.
   */
  largestLastWrite(room: Readonly<Record<Stream, number>>): number | undefined {
    const spare = this.spareSegments() - reserveSegments
    if (spare > 1) return undefined
    const { inlineBytesMax } = this.#context.limits
    if (spare === 1) {
      const large = ((room.bulk + this.#usableBytes - lastWriteOverhead) * 7) / 8
      return Math.max(inlineBytesMax, Math.floor(large))
    }
    // As admission counts: what is left empty at the end of a segment, and what goes with a record.
    const small = Math.floor(((room.log - lastWriteOverhead) * 3) / 4)
    if (small < inlineBytesMax) return Math.max(0, small)
    const large = Math.floor(((room.bulk - lastWriteOverhead) * 7) / 8)
    return Math.max(inlineBytesMax, large)
  }

  /**
   * A segment of zeros that is open, and nobody else's. Its slot stays claimed until `release`. The
   * log's has its space written ahead.
   *
   * @param purpose without the one for `opening` nothing at all can be written: then the disk's word
   *   counts and not the capacity, which a volume that was killed again and again while it was full
   *   would else never come back below; so it does for a `move`, if the capacity is kept to until then
   * @throws VolumeFullError
   */
  async allocate(stream: Stream, purpose: SegmentPurpose): Promise<BlankSegment> {
    // Large bodies are synced by the mebibyte, and zeros would double what the disk has to write.
    const ahead = stream === 'log'
    if (ahead || this.#creatable() < 1) await this.#preparing
    // Bulk leaves the reserve to the log, whatever it was told before its upload began.
    const floor = stream === 'bulk' && purpose !== 'move' ? reserveSegments : 0
    if (this.spareSegments() <= floor) await this.refresh()
    if (this.spareSegments() <= floor && !this.#mayExceed(purpose)) throw this.full()
    if (!ahead && this.#creatable() > 0) return await this.#create({ ahead })
    const prepared = this.#prepared
    if (prepared === undefined) return await this.#create({ ahead })
    this.#prepared = undefined
    this.#claimed.add(prepared.slot)
    return prepared
  }

  /** The slot leaves the table, but is not empty yet. */
  claim(slot: number): void {
    this.#claimed.add(slot)
  }

  /** The slot is in the table now, or empty again. One that is neither stays claimed. */
  release(slot: number): void {
    this.#claimed.delete(slot)
  }

  /** Makes a segment ahead in the background, unless there is one or no room for it. */
  prepare(): void {
    if (this.#prepared !== undefined || this.#preparing !== undefined) return
    if (this.#context.readOnlyReason !== undefined || this.#creatable() < 1) return
    if (this.#context.clock.monotonic() < this.#prepareAfter) return
    this.#preparing = this.#prepareOne().finally(() => {
      this.#preparing = undefined
    })
  }

  /** Asks the device again; after a segment was freed, or before a write is refused. */
  async refresh(): Promise<void> {
    this.#freeBytes = await this.#context.device.freeBytes()
    this.#freeBytesAt = this.#context.clock.monotonic()
  }

  async close(): Promise<void> {
    await this.#preparing
    await this.#prepared?.handle.close()
    this.#prepared = undefined
  }

  get #usedBytes(): number {
    const outside = this.#claimed.size + (this.#prepared === undefined ? 0 : 1)
    return this.#context.table.usedBytes + outside * this.#context.limits.segmentBytes
  }

  /** Copies do so by one segment, on whose behalf another one goes. */
  #mayExceed(purpose: SegmentPurpose): boolean {
    if (purpose === 'write' || this.#freeBytes < this.#context.limits.segmentBytes) return false
    const { capacityBytes, usedBytes } = this.usage(true)
    return purpose === 'opening' || usedBytes <= capacityBytes
  }

  #creatable(): number {
    const { segmentBytes } = this.#context.limits
    const byDevice = Math.floor(this.#freeBytes / segmentBytes)
    if (this.#capacityBytes === undefined) return Math.max(0, byDevice)
    const byCapacity = Math.floor((this.#capacityBytes - this.#usedBytes) / segmentBytes)
    return Math.max(0, Math.min(byDevice, byCapacity))
  }

  async #prepareOne(): Promise<void> {
    try {
      const blank = await this.#create({ ahead: true })
      this.#claimed.delete(blank.slot)
      this.#prepared = blank
    } catch (error) {
      rethrowAssertion(error)
      // Whoever needs the segment tries again and is told.
      this.#prepareAfter = this.#context.clock.monotonic() + prepareRetryMs
      this.#context.logger.warn({ error }, 'no segment could be made ahead')
    }
  }

  async #create(options: { readonly ahead: boolean }): Promise<BlankSegment> {
    const { device, limits } = this.#context
    const slot = this.#freeSlot()
    this.#claimed.add(slot)
    this.#freeBytes -= limits.segmentBytes
    try {
      return { slot, handle: await device.create(slot, limits.segmentBytes, options) }
    } catch (error) {
      this.#freeBytes += limits.segmentBytes
      if (!isDiskFull(error)) throw error
      this.#claimed.delete(slot)
      this.#freeBytes = 0
      throw this.full(error)
    }
  }

  #freeSlot(): number {
    let slot = 0
    while (this.#isTaken(slot)) slot++
    return slot
  }

  #isTaken(slot: number): boolean {
    const { table } = this.#context
    return table.has(slot) || this.#claimed.has(slot) || this.#prepared?.slot === slot
  }

  /** What is thrown when there is no space, by our own count or by the system's word, which is `cause`. */
  full(cause?: unknown): VolumeFullError {
    const { usedBytes, capacityBytes } = this.usage(false)
    return new VolumeFullError({ usedBytes, capacityBytes, cause })
  }

  #refreshWhenOld(): void {
    const age = this.#context.clock.monotonic() - this.#freeBytesAt
    if (this.#refreshing || age < freeBytesMaxAgeMs) return
    this.#refreshing = true
    this.#context.inBackground('the free space of the device is not known', async () => {
      try {
        await this.refresh()
      } finally {
        this.#refreshing = false
      }
    })
  }
}

/** Whether the system says that there is no space: on the disk, in a quota, or below a limit. */
export function isDiskFull(error: unknown): boolean {
  const code = systemCodeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}
