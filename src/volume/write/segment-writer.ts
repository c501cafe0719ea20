/**
 * Writes one stream: a group at a time into the open segment, and into the next one when it does not
 * fit. A file in which a write or sync failed is never written again: the next segment's synced header
 * declares where the old one ends, and with it voids what failed.
 *
 * It promises that what has resolved is durable, whole, and behind everything that resolved before in its
 * stream. It must never know what a record is about, nor who still refers to one.
 */
import { assert } from '../../base/assert.ts'
import { GroupWriteError, VolumeFullError } from '../format/errors.ts'
import { footerLength } from '../format/footer.ts'
import { GroupEncoder, type GroupMeasure, measureGroup } from '../format/group-codec.ts'
import { blockBytes } from '../format/limits.ts'
import type { Location, LogPosition, RecordInput } from '../format/record.ts'
import { encodeSegmentHeader, type Seal } from '../format/segment-header.ts'
import { SegmentSeed } from '../format/segment-seed.ts'
import type { Stream } from '../format/volume-status.ts'
import { entryOf } from '../segments/segment-table.ts'
import type { VolumeContext } from '../segments/volume-context.ts'
import { OpenSegment } from './open-segment.ts'
import type { SegmentReclaimer } from './segment-reclaimer.ts'
import type { SegmentRegister } from './segment-register.ts'
import { type BlankSegment, isDiskFull, type SegmentPurpose, type Space } from './space.ts'

/** From this share of a log segment on, the next one is made ahead. */
const prepareAtFill = 0.25

export interface SegmentWriterOptions {
  readonly context: VolumeContext
  readonly space: Space
  readonly reclaimer: SegmentReclaimer
  readonly register: SegmentRegister
  readonly stream: Stream
}

export class SegmentWriter {
  readonly #context: VolumeContext
  readonly #space: Space
  readonly #reclaimer: SegmentReclaimer
  readonly #register: SegmentRegister
  readonly #stream: Stream
  readonly #encoder = new GroupEncoder()
  #current: OpenSegment | undefined
  /** What the next header seals while no segment is open. */
  #previous: Seal | undefined
  /** Something failed since the last header that was written: a second failure ends writing. */
  #troubled = false
  #running: Promise<unknown> | undefined
  #writtenBytes = 0

  constructor(options: SegmentWriterOptions) {
    this.#context = options.context
    this.#space = options.space
    this.#reclaimer = options.reclaimer
    this.#register = options.register
    this.#stream = options.stream
  }

  /** Continues behind `previous`, the newest segment of the stream. */
  continueAfter(previous: Seal | undefined): void {
    assert(this.#current === undefined, 'a writer continues before it has begun')
    this.#previous = previous
  }

  /** Bytes that fit into the open segment. */
  get room(): number {
    return this.#current?.room ?? 0
  }

  /** Of groups, padding included, since the volume was opened. */
  get writtenBytes(): number {
    return this.#writtenBytes
  }

  /** A group failed and no later header voids it: the next opening may find all of it. */
  get mayHoldFailed(): boolean {
    return this.#current?.failed === true
  }

  /** The end of the last durable group, of an earlier run if need be. */
  get position(): LogPosition | undefined {
    if (this.#current !== undefined || this.#previous === undefined) return this.#current?.position
    const { segment, generation, validEnd: offset } = this.#previous
    return { segment, generation, offset }
  }

  /**
   * Opens the next segment now: the first of this run.
   * @throws VolumeFullError, GroupWriteError, VolumeReadOnlyError
   */
  async open(): Promise<void> {
    await this.#exclusively(() => this.#roll('opening'))
  }

  /**
   * Writes `records` as one group; durable when resolved. Calls must not overlap.
   * Whatever is refused is refused by rejecting: a queue that calls this from its own beginning must
   * not find itself at its end already.
   * @throws VolumeFullError, GroupWriteError, VolumeReadOnlyError: nothing of the group counts
   */
  async append(
    records: readonly RecordInput[],
    purpose: SegmentPurpose = 'write',
  ): Promise<readonly Location[]> {
    return await this.#exclusively(() => this.#append(records, purpose))
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#running])
    const current = this.#current
    if (current === undefined) return
    this.#previous = current.seal
    this.#current = undefined
    this.#context.handles.release(current.entry.segment)
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    assert(this.#running === undefined, `appends to the ${this.#stream} stream overlap`)
    this.#context.assertWritable()
    const running = work().finally(() => {
      this.#running = undefined
    })
    this.#running = running
    return running
  }

  async #append(
    records: readonly RecordInput[],
    purpose: SegmentPurpose,
  ): Promise<readonly Location[]> {
    const measure = measureGroup(records)
    const current = this.#current
    const open = current?.fits(measure) ? current : await this.#roll(purpose)
    assert(open.fits(measure), 'a group fits into an empty segment')
    const locations = await this.#write(open, records, measure)
    if (this.#stream === 'log' && open.fill >= prepareAtFill) this.#space.prepare()
    return locations
  }

  async #write(
    open: OpenSegment,
    records: readonly RecordInput[],
    measure: GroupMeasure,
  ): Promise<readonly Location[]> {
    const { offset, highestSeq, entry, handle } = open
    const place = { use: entry, seed: entry.seed, offset, number: open.lastGroup + 1, highestSeq }
    const group = this.#encoder.encode(records, measure, place)
    try {
      await handle.writeSynced(group.pieces, offset)
    } catch (cause) {
      throw this.#failed(open, cause)
    }
    this.#writtenBytes += group.bytes
    open.advance(group, records)
    return group.locations
  }

  #failed(open: OpenSegment, cause: unknown): Error {
    open.closed = true
    open.failed = true
    if (isDiskFull(cause)) return this.#space.full(cause)
    this.#troubled = true
    const { segment, generation } = open.entry
    const facts = { segment, generation, offset: open.offset }
    this.#context.logger.error({ ...facts, error: cause }, 'a write to the volume failed')
    return new GroupWriteError(facts, cause)
  }

  /** Space first: when there is none, the open segment stays open for what still fits. */
  async #roll(purpose: SegmentPurpose): Promise<OpenSegment> {
    const blank = await this.#allocate(purpose)
    const old = this.#current
    if (old !== undefined && !old.closed) await this.#writeFooter(old)
    const open = await this.#begin(blank, old?.seal ?? this.#previous)
    if (old !== undefined) this.#leave(old)
    this.#current = open
    this.#troubled = false
    return open
  }

  async #allocate(purpose: SegmentPurpose): Promise<BlankSegment> {
    try {
      return await this.#space.allocate(this.#stream, purpose)
    } catch (error) {
      if (error instanceof VolumeFullError) throw error
      throw this.#trouble('no segment can be made', error)
    }
  }

  /** Seals the segment. If that fails it is complete all the same: the next header says where it ends. */
  async #writeFooter(old: OpenSegment): Promise<void> {
    old.closed = true
    try {
      await old.handle.write(old.footer.encode(old.end, old.entry.seed), old.offset)
      await old.handle.sync()
      old.hasFooter = true
    } catch (error) {
      this.#troubled ||= !isDiskFull(error)
      const { segment } = old.entry
      this.#context.logger.error({ segment, error }, 'the footer of a segment was not written')
    }
  }

  /** Writes and syncs the header that makes a blank segment the stream's next and seals the last. */
  #begin(blank: BlankSegment, previous: Seal | undefined): Promise<OpenSegment> {
    const context = this.#context
    return context.naming.run(async () => {
      const generation = context.table.takeGeneration()
      const header = {
        segment: blank.slot,
        generation,
        stream: this.#stream,
        segmentBytes: context.limits.segmentBytes,
        openedAt: Math.max(0, Math.floor(context.clock.now())),
        previous,
      }
      try {
        await blank.handle.write([encodeSegmentHeader(header, context.volumeId)], 0)
        await blank.handle.sync()
      } catch (error) {
        await this.#giveUp(blank, error)
        // Another program has filled the disk: no sign of a bad one, and over when there is room.
        if (isDiskFull(error)) throw this.#space.full(error)
        throw this.#trouble('the header of a new segment cannot be written', error)
      }
      const seed = new SegmentSeed(context.volumeId, header)
      const found = { seed, state: 'open', bytes: blank.handle.size, end: undefined } as const
      const entry = entryOf(header, found)
      context.table.add(entry)
      this.#space.release(blank.slot)
      context.handles.adopt(blank.slot, blank.handle)
      this.#register.begun()
      const highestSeq = previous?.highestSeq ?? 0
      return new OpenSegment({ entry, handle: blank.handle, highestSeq })
    })
  }

  /** Removes a segment whose header may or may not be durable; two failures in a row end writing. */
  async #giveUp(blank: BlankSegment, cause: unknown): Promise<void> {
    try {
      await blank.handle.close()
      await this.#context.device.remove(blank.slot)
      this.#space.release(blank.slot)
    } catch (error) {
      this.#context.logger.error({ slot: blank.slot, error }, 'a segment could not be removed')
      throw this.#context.makeReadOnly('a segment could be neither written nor removed', cause)
    }
  }

  #trouble(what: string, cause: unknown): Error {
    if (this.#troubled)
      return this.#context.makeReadOnly(`${what}, after an earlier failure`, cause)
    this.#troubled = true
    const seal = this.#current?.seal ?? this.#previous
    const {
      segment,
      generation,
      validEnd: offset,
    } = seal ?? { segment: 0, generation: 0, validEnd: blockBytes }
    return new GroupWriteError({ segment, generation, offset }, cause)
  }

  /** The next header has sealed `old`. Its unused space goes back beside everything else. */
  #leave(old: OpenSegment): void {
    const { entry, handle } = old
    const { table, handles } = this.#context
    entry.end = old.end
    table.seal(entry)
    const release = this.#reclaimer.pin(entry)
    this.#context.inBackground('a sealed segment could not be trimmed', async () => {
      try {
        if (!old.hasFooter) return
        await handle.trim(old.offset + footerLength(old.footer.entriesBytes))
        table.resize(entry, handle.size)
        entry.hasFooter = true
      } finally {
        handles.release(entry.segment)
        release()
      }
    })
  }
}
