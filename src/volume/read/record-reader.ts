/**
 * Reads records by location and verifies all that it returns: the header against its checksum and
 * against what was asked for, the body block by block.
 *
 * It promises that nothing is returned that was not verified, and that a location in a segment that was freed
 * is said to be stale. It must never know what a record is about, nor change anything.
 */
import { assert } from '../../base/assert.ts'
import { systemCodeOf } from '../../base/errors.ts'
import type { DeviceSegment } from '../../device/device.ts'
import { CorruptRecordError } from '../format/errors.ts'
import { checksumBlockBytes } from '../format/limits.ts'
import type { Location, ReadRecord } from '../format/record.ts'
import {
  type BodyPart,
  decodeRecordHeader,
  type RecordHeader,
  verifyBody,
} from '../format/record-codec.ts'
import type { SegmentSeed } from '../format/segment-seed.ts'
import { readBlocks } from '../segments/segment-read.ts'
import type { VolumeContext } from '../segments/volume-context.ts'
import type { SegmentReclaimer } from '../write/segment-reclaimer.ts'
import { QuickReads } from './quick-reads.ts'
import { ReadMerger } from './read-merger.ts'

/** Records up to this size are read whole even for a range: one call costs less than two. */
const wholeReadBytesMax = 128 * 1024
/** Largest range of one call. */
const readBytesMax = 2 ** 20

export interface BodyRange {
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

/** What tells a record from any other that may lie in its place. */
export interface RecordIdentity {
  readonly seq: number
  readonly label: Uint8Array
}

export class RecordReader {
  readonly #context: VolumeContext
  readonly #reclaimer: SegmentReclaimer
  readonly #merger = new ReadMerger()
  readonly #quick: QuickReads

  constructor(context: VolumeContext, reclaimer: SegmentReclaimer) {
    this.#context = context
    this.#reclaimer = reclaimer
    this.#quick = new QuickReads(context.device, context.clock)
  }

  /** @throws StaleLocationError, CorruptRecordError */
  readRecord(location: Location, expect: { readonly seq: number }): Promise<ReadRecord> {
    return this.#withSegment(location, async (handle, seed) => {
      const { offset, headLength, bodyLength } = location
      const bytes = await this.#merger.read(handle, offset, headLength + bodyLength)
      return verifiedRecord(bytes, { location, expect, seed })
    })
  }

  /**
   * The same without waiting, for a small record that the system most likely has in memory; undefined
   * when it has to be waited for.
   * @throws StaleLocationError, CorruptRecordError, or the system's error
   */
  readRecordNow(location: Location, expect: { readonly seq: number }): ReadRecord | undefined {
    const { table, handles } = this.#context
    const { seed } = table.require(location)
    const { segment, offset, headLength, bodyLength } = location
    const handle = handles.tryAcquire(segment)
    if (handle === undefined) return undefined
    try {
      const bytes = this.#quick.tryRead(handle, offset, headLength + bodyLength)
      return bytes === undefined ? undefined : verifiedRecord(bytes, { location, expect, seed })
    } finally {
      handles.release(segment)
    }
  }

  /** @throws StaleLocationError, CorruptRecordError */
  async readBody(location: Location, range: BodyRange, expect?: RecordIdentity): Promise<Buffer> {
    const { start, end } = range
    assert(start >= 0 && start <= end && end <= location.bodyLength, 'a range inside the body')
    assert(end - start <= readBytesMax, 'a range of at most 1 MiB')
    return await this.#withSegment(location, async (handle, seed) => {
      const firstBlock = Math.floor(start / checksumBlockBytes)
      const from = firstBlock * checksumBlockBytes
      const to = Math.min(
        location.bodyLength,
        Math.ceil(end / checksumBlockBytes) * checksumBlockBytes,
      )
      const { head, blocks } = await readParts(handle, location, { from, to })
      const header = headerOf(location, head, seed)
      if (expect !== undefined && !isOf(header, expect))
        throw damaged(location, 'it is another record than the one asked for')
      if (start === end) return Buffer.alloc(0)
      assertIntact(location, header, { bytes: blocks, firstBlock, seed, wanted: to - from })
      return blocks.subarray(start - from, end - from)
    })
  }

  async #withSegment<T>(
    location: Location,
    work: (handle: DeviceSegment, seed: SegmentSeed) => Promise<T>,
  ): Promise<T> {
    const { table, handles } = this.#context
    const entry = table.require(location)
    entry.pins++
    try {
      const { segment } = location
      const handle = handles.tryAcquire(segment) ?? (await handles.acquire(segment))
      try {
        return await work(handle, entry.seed)
      } catch (error) {
        // A sector that the disk gives up on is damage like any other: another site may have the bytes.
        if (systemCodeOf(error) === 'EIO') {
          throw damaged(location, 'the disk cannot read it (EIO)', error)
        }
        throw error
      } finally {
        handles.release(segment)
      }
    } finally {
      this.#reclaimer.unpin(entry)
    }
  }
}

/** What was read at a record's place, if that is the record. @throws CorruptRecordError */
export function verifiedRecord(
  bytes: Buffer,
  from: {
    readonly location: Location
    /** Undefined for a chunk, which its place alone tells from all others. */
    readonly expect: { readonly seq: number } | undefined
    readonly seed: SegmentSeed
  },
): ReadRecord {
  const { location, expect, seed } = from
  const { headLength, bodyLength } = location
  const header = headerOf(location, bytes, seed)
  if (expect !== undefined && header.seq !== expect.seq) {
    throw damaged(location, `it has seq ${header.seq}, ${expect.seq} was asked for`)
  }
  const body = bytes.subarray(headLength)
  assertIntact(location, header, { bytes: body, firstBlock: 0, seed, wanted: bodyLength })
  const { kind, seq, label, head } = header
  return { kind, seq, label, head, body }
}

function isOf(header: RecordHeader, { seq, label }: RecordIdentity): boolean {
  return header.seq === seq && header.label.equals(label)
}

function headerOf(location: Location, bytes: Buffer, seed: SegmentSeed): RecordHeader {
  const { offset, headLength, bodyLength } = location
  const header = decodeRecordHeader(bytes, 0, { offset, seed })
  if (typeof header === 'string') throw damaged(location, header)
  if (header.headLength !== headLength || header.bodyLength !== bodyLength) {
    throw damaged(location, 'it is of another length than asked for')
  }
  return header
}

function assertIntact(
  location: Location,
  header: RecordHeader,
  part: Omit<BodyPart, 'bodyOffset'> & { readonly wanted: number },
): void {
  if (part.bytes.length < part.wanted) throw damaged(location, 'the segment ends inside its body')
  const bodyOffset = location.offset + location.headLength
  const mismatch = verifyBody(header, { ...part, bodyOffset })
  if (mismatch !== undefined) throw damaged(location, mismatch)
}

/** Header and the wanted blocks: in one read when they lie together, else in two at once. */
async function readParts(
  handle: DeviceSegment,
  location: Location,
  wanted: { readonly from: number; readonly to: number },
): Promise<{ readonly head: Buffer; readonly blocks: Buffer }> {
  const { offset, headLength, bodyLength } = location
  const { from, to } = wanted
  const whole = headLength + bodyLength <= wholeReadBytesMax
  if (from === 0 || whole) {
    const bytes = await readBlocks(handle, offset, headLength + to)
    const bodyAt = Math.min(headLength, bytes.length)
    return { head: bytes.subarray(0, bodyAt), blocks: bytes.subarray(bodyAt + from, bodyAt + to) }
  }
  const [head, blocks] = await Promise.all([
    readBlocks(handle, offset, headLength),
    readBlocks(handle, offset + headLength + from, to - from),
  ])
  return { head, blocks }
}

function damaged(location: Location, mismatch: string, cause?: unknown): CorruptRecordError {
  const { segment, generation, offset } = location
  return new CorruptRecordError({ segment, generation, offset, mismatch }, cause)
}
