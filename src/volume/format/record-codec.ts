/**
 * A record in bytes: a header (fixed fields, label, head, one checksum per 64 KiB of body, checksum of
 * all that) and the body behind it. The header alone says what the record is; a range of the body is
 * verified with the checksums of the blocks that it touches.
 */
import { assert } from '../../base/assert.ts'
import { checksum } from '../../base/checksum.ts'
import { checksumBlockBytes, recordFixedBytes, type VolumeLimits } from './limits.ts'
import { readU64, writeU64 } from './numbers.ts'
import type { RecordInput, StoredRecord } from './record.ts'
import type { SegmentSeed } from './segment-seed.ts'

const checksumBytes = 4
/** Label and fixed fields alone; whatever is shorter is no header. */
const headLengthMin = recordFixedBytes + checksumBytes

export function bodyLengthOf(record: RecordInput): number {
  let length = 0
  for (const piece of record.body) length += piece.length
  return length
}

/** Bytes from a record's first to the first of its body. */
function headLengthOf(record: RecordInput, bodyLength: number): number {
  const checksums = checksumBytes * Math.ceil(bodyLength / checksumBlockBytes)
  return headLengthMin + record.label.length + record.head.length + checksums
}

/** Bytes that a record takes in a group; those of one group sum up to at most `groupBytesMax`. */
export function recordLength(record: RecordInput): number {
  const bodyLength = bodyLengthOf(record)
  return headLengthOf(record, bodyLength) + bodyLength
}

/** A record beyond the limits is a mistake of the caller: it would not read back. */
export function assertRecord(
  record: RecordInput,
  limits: VolumeLimits,
  bodyBytesMax: number,
): void {
  const { kind, label, head } = record
  assert(Number.isInteger(kind) && kind >= 1 && kind <= 255, 'a record kind from 1 to 255')
  assert(label.length <= limits.labelBytesMax, `a label beyond ${limits.labelBytesMax} bytes`)
  assert(head.length <= limits.headBytesMax, `a head beyond ${limits.headBytesMax} bytes`)
  assert(bodyLengthOf(record) <= bodyBytesMax, `a body beyond ${bodyBytesMax} bytes`)
}

export interface HeaderPlace {
  readonly target: Buffer
  /** Where in `target`. */
  readonly at: number
  /** Where in the segment. */
  readonly offset: number
  readonly seed: SegmentSeed
}

/** Writes the record's header and returns its length. */
export function encodeRecordHeader(
  record: RecordInput,
  bodyLength: number,
  place: HeaderPlace,
): number {
  const { target, at, offset, seed } = place
  const { label, head } = record
  const headLength = headLengthOf(record, bodyLength)
  target.writeUInt32LE(headLength, at)
  target.writeUInt32LE(bodyLength, at + 4)
  writeU64(target, record.seq, at + 8)
  target[at + 16] = record.kind
  target[at + 17] = 0
  target.writeUInt16LE(label.length, at + 18)
  target.writeUInt32LE(head.length, at + 20)
  target.set(label, at + recordFixedBytes)
  target.set(head, at + recordFixedBytes + label.length)
  const checksumsAt = at + recordFixedBytes + label.length + head.length
  const end = writeBodyChecksums(record.body, offset + headLength, {
    target,
    at: checksumsAt,
    seed,
  })
  target.writeUInt32LE(checksum(target.subarray(at, end), seed.at(offset)), end)
  assert(end + checksumBytes === at + headLength, 'a header as long as it was measured')
  return headLength
}

/** One checksum per block, across the borders of the pieces. Returns the position behind them. */
function writeBodyChecksums(
  pieces: readonly Uint8Array[],
  bodyOffset: number,
  place: { readonly target: Buffer; readonly at: number; readonly seed: SegmentSeed },
): number {
  const { target, seed } = place
  let at = place.at
  let blockOffset = bodyOffset
  let room = checksumBlockBytes
  let sum = 0
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; ) {
      if (room === checksumBlockBytes) sum = seed.at(blockOffset)
      const take = Math.min(room, piece.length - from)
      const whole = from === 0 && take === piece.length
      sum = checksum(whole ? piece : piece.subarray(from, from + take), sum)
      from += take
      room -= take
      if (room > 0) continue
      at = target.writeUInt32LE(sum, at)
      blockOffset += checksumBlockBytes
      room = checksumBlockBytes
    }
  }
  return room < checksumBlockBytes ? target.writeUInt32LE(sum, at) : at
}

export interface RecordHeader extends StoredRecord {
  readonly headLength: number
  readonly bodyLength: number
  /** The body's checksums, four bytes each. */
  readonly bodyChecksums: Buffer
}

/**
 * The header that begins at `at` in `bytes` and at `offset` in its segment, or what is wrong with it
 * as text. Label and head are views of `bytes`.
 */
export function decodeRecordHeader(
  bytes: Buffer,
  at: number,
  place: { readonly offset: number; readonly seed: SegmentSeed },
): RecordHeader | string {
  if (bytes.length - at < headLengthMin) return 'the bytes end inside a record header'
  const headLength = bytes.readUInt32LE(at)
  const bodyLength = bytes.readUInt32LE(at + 4)
  const labelLength = bytes.readUInt16LE(at + 18)
  const headBytes = bytes.readUInt32LE(at + 20)
  const checksums = checksumBytes * Math.ceil(bodyLength / checksumBlockBytes)
  if (headLength !== headLengthMin + labelLength + headBytes + checksums) {
    return 'the lengths in a record header contradict each other'
  }
  if (headLength > bytes.length - at) return 'the bytes end inside a record header'
  const end = at + headLength - checksumBytes
  if (bytes.readUInt32LE(end) !== checksum(bytes.subarray(at, end), place.seed.at(place.offset))) {
    return 'the checksum of a record header does not match'
  }
  const labelAt = at + recordFixedBytes
  return {
    kind: bytes[at + 16] ?? 0,
    seq: readU64(bytes, at + 8),
    label: bytes.subarray(labelAt, labelAt + labelLength),
    head: bytes.subarray(labelAt + labelLength, labelAt + labelLength + headBytes),
    headLength,
    bodyLength,
    bodyChecksums: bytes.subarray(end - checksums, end),
  }
}

export interface BodyPart {
  /** Whole blocks of the body, from the start of `firstBlock`. */
  readonly bytes: Buffer
  readonly firstBlock: number
  /** Of the body, in the segment. */
  readonly bodyOffset: number
  readonly seed: SegmentSeed
}

/** What is wrong with this part of a body as text, or undefined when every block checks out. */
export function verifyBody(header: RecordHeader, part: BodyPart): string | undefined {
  const { bytes, bodyOffset, seed } = part
  let block = part.firstBlock
  for (let from = 0; from < bytes.length; from += checksumBlockBytes) {
    const piece = bytes.subarray(from, Math.min(bytes.length, from + checksumBlockBytes))
    const sum = checksum(piece, seed.at(bodyOffset + block * checksumBlockBytes))
    if (header.bodyChecksums.readUInt32LE(block * checksumBytes) !== sum) {
      return `the checksum of body block ${block} does not match`
    }
    block++
  }
  return undefined
}
