/**
 * The first block of a segment: which use of the segment this is, and the seal of the segment before
 * it in the same stream. Whatever lies behind a sealed end does not count, whoever wrote it.
 */
import { checksum } from '../../base/checksum.ts'
import { FormatTooNewError } from './errors.ts'
import { blockBytes, formatVersion } from './limits.ts'
import { readU64, writeU64 } from './numbers.ts'
import type { SegmentUse } from './record.ts'
import { SegmentSeed } from './segment-seed.ts'
import type { Stream } from './volume-status.ts'

/** Where a segment ends, and how far the numbering had come by then. */
export interface SegmentEnd {
  /** Offset behind the last valid group. */
  readonly validEnd: number
  /** Number of the last valid group, 0 when there is none. */
  readonly lastGroup: number
  /** Highest seq of any record of the stream up to here. */
  readonly highestSeq: number
}

export interface Seal extends SegmentUse, SegmentEnd {}

export interface SegmentHeader extends SegmentUse {
  readonly stream: Stream
  readonly segmentBytes: number
  /** Wall milliseconds, for people. */
  readonly openedAt: number
  /** Undefined for the first of its stream. */
  readonly previous: Seal | undefined
}

const magic = Buffer.from('COMIOSEG', 'latin1')
const checksumAt = blockBytes - 4
const noSegment = 0xffffffff
const streamTags = { log: 1, bulk: 2 } as const

export function encodeSegmentHeader(header: SegmentHeader, volumeId: Buffer): Buffer {
  const bytes = Buffer.alloc(blockBytes)
  bytes.set(magic)
  bytes.writeUInt16LE(formatVersion, 8)
  bytes[10] = streamTags[header.stream]
  bytes.writeUInt32LE(header.segment, 12)
  bytes.writeUInt32LE(header.generation, 16)
  bytes.writeUInt32LE(header.segmentBytes, 20)
  bytes.set(volumeId, 24)
  writeU64(bytes, header.openedAt, 40)
  const { previous } = header
  bytes.writeUInt32LE(previous?.segment ?? noSegment, 48)
  bytes.writeUInt32LE(previous?.generation ?? 0, 52)
  bytes.writeUInt32LE(previous?.validEnd ?? 0, 56)
  bytes.writeUInt32LE(previous?.lastGroup ?? 0, 60)
  writeU64(bytes, previous?.highestSeq ?? 0, 64)
  const seed = new SegmentSeed(volumeId, header).at(0)
  bytes.writeUInt32LE(checksum(bytes.subarray(0, checksumAt), seed), checksumAt)
  return bytes
}

export interface BadSegmentHeader {
  readonly mismatch: string
}

/**
 * The header in `bytes`, or why there is none.
 * @throws FormatTooNewError
 */
export function decodeSegmentHeader(
  bytes: Buffer,
  expect: { readonly segment: number; readonly volumeId: Buffer },
): SegmentHeader | BadSegmentHeader {
  if (bytes.length < blockBytes || !bytes.subarray(0, magic.length).equals(magic)) {
    return { mismatch: 'it does not begin as a segment' }
  }
  const version = bytes.readUInt16LE(8)
  if (version > formatVersion) {
    throw new FormatTooNewError(`segment ${expect.segment}`, version, formatVersion)
  }
  const segment = bytes.readUInt32LE(12)
  const generation = bytes.readUInt32LE(16)
  const volumeId = bytes.subarray(24, 40)
  const seed = new SegmentSeed(volumeId, { segment, generation }).at(0)
  if (bytes.readUInt32LE(checksumAt) !== checksum(bytes.subarray(0, checksumAt), seed)) {
    return { mismatch: 'the checksum of its header does not match' }
  }
  if (!volumeId.equals(expect.volumeId)) {
    return { mismatch: `it belongs to volume ${volumeId.toString('hex')}` }
  }
  if (segment !== expect.segment) return { mismatch: `it says that it is segment ${segment}` }
  return {
    segment,
    generation,
    stream: bytes[10] === streamTags.bulk ? 'bulk' : 'log',
    segmentBytes: bytes.readUInt32LE(20),
    openedAt: readU64(bytes, 40),
    previous: decodeSeal(bytes),
  }
}

function decodeSeal(bytes: Buffer): Seal | undefined {
  const segment = bytes.readUInt32LE(48)
  if (segment === noSegment) return undefined
  return {
    segment,
    generation: bytes.readUInt32LE(52),
    validEnd: bytes.readUInt32LE(56),
    lastGroup: bytes.readUInt32LE(60),
    highestSeq: readU64(bytes, 64),
  }
}
