/**
 * The volume: an append-only log of opaque records in segments on a device. It promises that an
 * appended group is whole and durable once the call has resolved, that a read returns the bytes that
 * were appended or an error by name, and that recovery finds every durable group and nothing else.
 * It must never know buckets, keys or versions: `label` and `head` are bytes to it.
 *
 * The order of use: `open`, `replay` from the last checkpoint (or `salvage`), `activate`, then everything else.
 */
import { assert } from '../base/assert.ts'
import type { SegmentPlace } from '../device/device.ts'
import { VolumeFullError } from './format/errors.ts'
import type { VolumeLimits } from './format/limits.ts'
import type {
  Location,
  LogPosition,
  ReadRecord,
  RecordInput,
  ReplayedRecord,
  SegmentUse,
} from './format/record.ts'
import { assertRecord, recordLength } from './format/record-codec.ts'
import type { Seal } from './format/segment-header.ts'
import type { LogEnd } from './format/superblock.ts'
import type {
  SegmentInfo,
  Stream,
  VolumeHealth,
  VolumeIdentity,
  VolumeUsage,
} from './format/volume-status.ts'
import { LogReplay } from './read/log-replay.ts'
import { type BodyRange, type RecordIdentity, RecordReader } from './read/record-reader.ts'
import type { DamagedExtent } from './segments/damaged-extent.ts'
import { type ListedRecord, listRecords, scanRecords } from './segments/list-records.ts'
import type { MissingLog } from './segments/missing-log.ts'
import type { SegmentChain } from './segments/segment-chain.ts'
import type { SegmentEntry } from './segments/segment-table.ts'
import type { VolumeContext } from './segments/volume-context.ts'
import {
  type OpenedVolume,
  openVolume,
  type VolumeHold,
  type VolumeOptions,
} from './volume-opening.ts'
import { BulkQueue } from './write/bulk-queue.ts'
import { finishSegment, type KnownRecords } from './write/finish-segment.ts'
import { SegmentReclaimer } from './write/segment-reclaimer.ts'
import { SegmentRegister } from './write/segment-register.ts'
import { SegmentWriter } from './write/segment-writer.ts'
import type { RoomOptions, Space } from './write/space.ts'

export type { VolumeLimits } from './format/limits.ts'
export type {
  Location,
  LogPosition,
  ReadRecord,
  RecordInput,
  ReplayedRecord,
  SegmentUse,
  StoredRecord,
} from './format/record.ts'
export { recordLength } from './format/record-codec.ts'
export type {
  SegmentInfo,
  VolumeHealth,
  VolumeIdentity,
  VolumeUsage,
} from './format/volume-status.ts'
export type { BodyRange } from './read/record-reader.ts'
export type { DamagedExtent } from './segments/damaged-extent.ts'
export type { ListedRecord } from './segments/list-records.ts'
export type { VolumeHold, VolumeOptions } from './volume-opening.ts'

export class Volume {
  readonly identity: VolumeIdentity
  readonly limits: VolumeLimits
  readonly #context: VolumeContext
  readonly #space: Space
  readonly #register: SegmentRegister
  readonly #reclaimer: SegmentReclaimer
  readonly #reader: RecordReader
  readonly #logWriter: SegmentWriter
  readonly #bulkWriter: SegmentWriter
  readonly #bulkQueue: BulkQueue
  readonly #log: SegmentChain
  readonly #bulk: SegmentChain
  readonly #missingLog: MissingLog
  readonly #logEnd: LogEnd | undefined
  readonly #hold: VolumeHold | undefined
  #replay: LogReplay | undefined
  #state: 'opened' | 'active' | 'closed' = 'opened'

  private constructor(opened: OpenedVolume) {
    const { context, space } = opened
    this.identity = context.identity
    this.limits = context.limits
    this.#context = context
    this.#space = space
    this.#log = opened.log
    this.#bulk = opened.bulk
    this.#missingLog = opened.missingLog
    this.#logEnd = opened.logEnd
    this.#hold = opened.hold
    const register = new SegmentRegister(context)
    this.#register = register
    const reclaimer = new SegmentReclaimer(context, space, register)
    this.#reclaimer = reclaimer
    this.#reader = new RecordReader(context, reclaimer)
    const parts = { context, space, reclaimer, register }
    this.#logWriter = new SegmentWriter({ ...parts, stream: 'log' })
    this.#bulkWriter = new SegmentWriter({ ...parts, stream: 'bulk' })
    this.#bulkQueue = new BulkQueue(this.#bulkWriter, context.limits.groupBytesMax)
  }

  /**
   * Opens the volume on a device, or makes one on an empty device. The log is not written yet.
   * @throws FormatTooNewError, CorruptSuperblockError, MissingSuperblockError, SiteIdMismatchError,
   *   CapacityTooSmallError, LostLogError, CorruptLogError
   */
  static async open(options: VolumeOptions): Promise<Volume> {
    return new Volume(await openVolume(options))
  }

  /**
   * The log's records in order, from a position or from the oldest segment. Every byte handed out has
   * been verified and is durable, also if an earlier process was killed before it had synced it. May
   * be run again until the volume is active.
   * @throws CorruptLogError, LostLogError
   */
  replay(from: LogPosition | undefined): AsyncIterable<ReplayedRecord> {
    return this.#beginReplay().run(from)
  }

  /**
   * The same from the oldest segment on, going on behind damage: what is left of it is handed out beside the
   * records. Whether that will do is the caller's to say, before the volume becomes active.
   * @param reached where the log is known to have been
   * @throws CorruptLogError where a segment contradicts its seal, LostLogError
   */
  salvage(reached: LogPosition | undefined): AsyncIterable<ReplayedRecord | DamagedExtent> {
    return this.#beginReplay().salvage(reached)
  }

  /**
   * Finishes segments that were left open, and seals the log's last one with the synced header of a
   * new one. Resolves to where the log continues. When there is no space for a segment the volume is
   * active all the same: it reads, and opens the segment with the first append that finds space.
   * @param knownIn asked where one of them is damaged in the middle
   */
  async activate(knownIn?: KnownRecords): Promise<LogPosition> {
    assert(this.#state === 'opened', 'a volume is activated once')
    assert(
      this.#replay?.finished || this.#log.entries.length === 0,
      'the log is replayed to its end',
    )
    // First what gives space back, so that a full volume can be opened again.
    for (const slot of this.#missingLog.unwanted) await this.#context.device.remove(slot)
    for (const chain of [this.#log, this.#bulk]) await this.#finish(chain, knownIn)
    this.#logWriter.continueAfter(sealOf(this.#log))
    this.#bulkWriter.continueAfter(sealOf(this.#bulk))
    await this.#openLog()
    for (const chain of [this.#log, this.#bulk]) await this.#discardAbandoned(chain)
    // Before anything is acknowledged: were the new segment lost, nothing else would know of it.
    await this.#register.flush()
    this.#state = 'active'
    return this.logPosition()
  }

  /**
   * Writes all of `records` as one group: one write, one sync. Calls must not overlap, and the
   * records' lengths (`recordLength`) must not add up to more than `limits.groupBytesMax`.
   * @throws VolumeFullError, GroupWriteError, VolumeReadOnlyError: nothing of the group counts
   */
  async appendGroup(records: readonly RecordInput[]): Promise<readonly Location[]> {
    this.#assertActive()
    assert(records.length > 0, 'a group has records')
    let bytes = 0
    for (const record of records) {
      assertRecord(record, this.limits, this.limits.inlineBytesMax)
      bytes += recordLength(record)
    }
    assert(bytes <= this.limits.groupBytesMax, 'a group of at most groupBytesMax')
    return await this.#logWriter.append(records)
  }

  /** The last seq that was given before the newest segment of the log was begun. */
  get sealedSeq(): number {
    return this.#log.entries.at(-1)?.previous?.highestSeq ?? 0
  }

  /** The end of the last durable group. */
  logPosition(): LogPosition {
    this.#assertActive()
    const { position } = this.#logWriter
    assert(position !== undefined, 'an active volume has a log segment')
    return position
  }

  /**
   * Writes a chunk; durable when resolved. May be called concurrently; awaiting it is what holds an
   * upload back. A copy that is made so that another segment can be freed may use the reserve.
   * @throws VolumeFullError, GroupWriteError, VolumeReadOnlyError
   */
  async appendBulk(
    record: RecordInput,
    { isCopy = false }: { readonly isCopy?: boolean } = {},
  ): Promise<Location> {
    this.#assertActive()
    assertRecord(record, this.limits, this.limits.chunkBytes)
    return await this.#bulkQueue.append(record, isCopy ? 'move' : 'write')
  }

  /** @throws StaleLocationError (look up once more), CorruptRecordError */
  readRecord(location: Location, expect: { readonly seq: number }): Promise<ReadRecord> {
    return this.#reader.readRecord(location, expect)
  }

  /**
   * The same at once, where it is small and the system most likely has it in memory; otherwise undefined.
   * @throws StaleLocationError, CorruptRecordError, or the system's error
   */
  readRecordNow(location: Location, expect: { readonly seq: number }): ReadRecord | undefined {
    return this.#reader.readRecordNow(location, expect)
  }

  /**
   * Bytes of a body, at most 1 MiB in a call; only the 64 KiB blocks touched are read and verified.
   * @throws StaleLocationError (look up once more), CorruptRecordError
   */
  readBody(location: Location, range: BodyRange, expect?: RecordIdentity): Promise<Buffer> {
    return this.#reader.readBody(location, range, expect)
  }

  /**
   * Whether a write of `bytes` may begin. Ordinary writes leave a reserve of two segments to essential
   * ones: deletes, purges and what else makes room. Those are groups of the log, however many.
   */
  isRoomFor(bytes: number, options: RoomOptions): boolean {
    if (this.#context.readOnlyReason !== undefined) return false
    const isLog = options.essential || bytes <= this.limits.inlineBytesMax
    const stream = options.stream ?? (isLog ? 'log' : 'bulk')
    return this.#space.isRoomFor(bytes, { ...options, room: this.openRoom[stream] })
  }

  /** Whether copies of chunks find room that nothing else does: beyond the capacity, when it is used up. */
  isRoomBeyond(bytes: number): boolean {
    if (this.#context.readOnlyReason !== undefined) return false
    return this.#space.isRoomBeyond(bytes, this.openRoom.bulk)
  }

  /** Bytes that ordinary writes to a stream may still take; below 0 when the reserve has been touched. */
  ordinaryRoom(stream: Stream): number {
    return this.#space.ordinaryRoom(this.openRoom[stream])
  }

  /** Bytes that fit into the open segment of each stream. */
  get openRoom(): Readonly<Record<Stream, number>> {
    return { log: this.#logWriter.room, bulk: this.#bulkWriter.room }
  }

  /** Bytes of groups that were written since the volume was opened, padding included. */
  get writtenBytes(): number {
    return this.#logWriter.writtenBytes + this.#bulkWriter.writtenBytes
  }

  /**
   * The records of a sealed segment, dead ones included, as its footer has them; nothing when it is
   * gone or has no footer yet.
   * @throws CorruptLogError
   */
  async recordsOf(use: SegmentUse): Promise<readonly ListedRecord[]> {
    const entry = this.#context.table.find(use)
    if (entry === undefined || !entry.hasFooter) return []
    return await this.#pinned(entry, () => listRecords(this.#context, entry))
  }

  /** The same from the groups themselves, as far as they are whole, where the footer fails. */
  async scanRecords(use: SegmentUse): Promise<readonly ListedRecord[]> {
    const entry = this.#context.table.find(use)
    if (entry === undefined || entry.state !== 'sealed') return []
    return await this.#pinned(entry, () => scanRecords(this.#context, entry))
  }

  /**
   * Keeps segments from being freed until the returned function is called. All or none are pinned.
   * @throws StaleLocationError when one is gone already
   */
  pin(uses: SegmentUse | readonly SegmentUse[]): () => void {
    const list = isList(uses) ? uses : [uses]
    const [only] = list
    if (only !== undefined && list.length === 1) {
      return this.#reclaimer.pin(this.#context.table.require(only))
    }
    const entries = list.map((use) => this.#context.table.require(use))
    const releases = entries.map((entry) => this.#reclaimer.pin(entry))
    return () => {
      for (const release of releases) release()
    }
  }

  /** Where a segment lies, for a `RecordView`; undefined when it is gone, or where nothing else may read it. */
  placeOf(use: SegmentUse): SegmentPlace | undefined {
    const { table, device } = this.#context
    return table.find(use) === undefined ? undefined : device.placeOf?.(use.segment)
  }

  /** Whether somebody keeps the segment from being freed. */
  isPinned(use: SegmentUse): boolean {
    return (this.#context.table.find(use)?.pins ?? 0) > 0
  }

  /**
   * Frees a sealed segment: at once, or when its last pin is released (then it resolves before that).
   * One that is gone already stays gone.
   */
  async freeSegment(segment: number, generation: number): Promise<void> {
    this.#assertActive()
    await this.#reclaimer.free({ segment, generation })
  }

  /** Whether the next opening may find a group of the log whose writing failed. */
  get logMayHoldFailed(): boolean {
    return this.#logWriter.mayHoldFailed
  }

  /** In the order in which they were opened. */
  segments(): readonly SegmentInfo[] {
    return this.#context.table.infos()
  }

  usage(): VolumeUsage {
    return this.#space.usage(this.isRoomFor(1, { essential: false }))
  }

  /** The largest ordinary write that there is room for, if it is nearly full; else undefined. */
  get largestLastWrite(): number | undefined {
    if (!this.isRoomFor(1, { essential: false })) return undefined
    return this.#space.largestLastWrite(this.openRoom)
  }

  /** A full volume is writable here: it deletes. See `usage` for that. */
  health(): VolumeHealth {
    const warnings = this.#warnings()
    const reason = this.#context.readOnlyReason
    if (reason === undefined) {
      return { writable: true, reason: warnings.join('; ') || undefined, warnings }
    }
    return {
      writable: false,
      reason: `the volume is read-only until it is opened again: ${reason}`,
      warnings,
    }
  }

  /** Finishes what is under way and closes the segments; the device stays open. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    const wasActive = this.#state === 'active'
    this.#state = 'closed'
    await this.#bulkQueue.settle()
    await this.#logWriter.close()
    await this.#bulkWriter.close()
    await this.#context.close()
    const end = this.#logWriter.position
    if (wasActive && end !== undefined) await this.#register.close(end)
    await this.#space.close()
    await this.#context.handles.close()
    await this.#hold?.release()
  }

  #beginReplay(): LogReplay {
    assert(this.#state === 'opened', 'replay comes before activation')
    const { entries } = this.#log
    const log = { entries, missing: this.#missingLog, logEnd: this.#logEnd }
    const replay = new LogReplay(this.#context, log)
    this.#replay = replay
    return replay
  }

  #warnings(): readonly string[] {
    const missing = this.#context.table.missing.describe()
    return missing === undefined ? [] : [missing]
  }

  async #pinned<T>(entry: SegmentEntry, work: () => Promise<T>): Promise<T> {
    const release = this.#reclaimer.pin(entry)
    try {
      return await work()
    } finally {
      release()
    }
  }

  #assertActive(): void {
    assert(this.#state === 'active', `the volume is ${this.#state}, not active`)
  }

  /** Gives every segment of an earlier run its footer. */
  async #finish(chain: SegmentChain, knownIn: KnownRecords | undefined): Promise<void> {
    for (const entry of chain.entries) {
      if (entry.hasFooter) this.#context.table.seal(entry)
      else await finishSegment(this.#context, entry, knownIn)
    }
  }

  async #openLog(): Promise<void> {
    try {
      await this.#logWriter.open()
    } catch (error) {
      if (!(error instanceof VolumeFullError) || this.#log.entries.length === 0) throw error
      this.#context.logger.warn({ ...error.facts }, 'the volume is full and can only be read')
    }
  }

  /** Removes the empty segments that were given up while their header was written. */
  async #discardAbandoned(chain: SegmentChain): Promise<void> {
    for (const entry of chain.abandoned) {
      this.#context.table.seal(entry)
      try {
        await this.#reclaimer.free(entry)
      } catch (error) {
        const { segment } = entry
        this.#context.logger.warn({ segment, error }, 'an empty segment could not be freed')
      }
    }
  }
}

function sealOf(chain: SegmentChain): Seal | undefined {
  const entry = chain.entries.at(-1)
  if (entry === undefined) return undefined
  const { segment, generation, end } = entry
  assert(end !== undefined, 'the newest segment has an end once it was walked')
  return { segment, generation, ...end }
}

function isList(uses: SegmentUse | readonly SegmentUse[]): uses is readonly SegmentUse[] {
  return Array.isArray(uses)
}
