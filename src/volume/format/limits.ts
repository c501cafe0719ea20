/**
 * Sizes of format 1, and what follows from a volume's segment size. The relations that the writer
 * relies on are asserted here, once, for every volume that is opened.
 */
import { assert } from '../../base/assert.ts'

export const formatVersion = 1

/** Groups, headers and footers begin at multiples of this, so that no synced sector is rewritten. */
export const blockBytes = 4096
/** One checksum for so many bytes of a body. */
export const checksumBlockBytes = 64 * 1024

export const groupHeaderBytes = 32
/** Of a record header: what comes before label, head and checksums. */
export const recordFixedBytes = 24
export const footerHeaderBytes = 32
/** Of a footer entry: what comes before the label. */
export const footerEntryFixedBytes = 24
export const footerTrailerBytes = 16

const kib = 1024
const mib = 1024 * 1024
export const segmentBytesMin = 64 * kib
export const segmentBytesMax = 1024 * mib
const defaultSegmentBytesMin = mib
const defaultSegmentBytesMax = 64 * mib

export interface VolumeLimits {
  readonly segmentBytes: number
  /** Largest body of a bulk record. */
  readonly chunkBytes: number
  /** Largest body of a log record. */
  readonly inlineBytesMax: number
  /** Largest sum of `recordLength` over the records of one group. */
  readonly groupBytesMax: number
  readonly headBytesMax: number
  readonly labelBytesMax: number
}

/** @param segmentBytes a power of two, 64 KiB to 1 GiB */
export function limitsOf(segmentBytes: number): VolumeLimits {
  assert(
    segmentBytes >= segmentBytesMin &&
      segmentBytes <= segmentBytesMax &&
      Number.isInteger(Math.log2(segmentBytes)),
    'segment size must be a power of two from 64 KiB to 1 GiB',
  )
  const limits: VolumeLimits = {
    segmentBytes,
    chunkBytes: Math.min(mib, segmentBytes / 8),
    inlineBytesMax: Math.min(256 * kib, segmentBytes / 16),
    groupBytesMax: Math.min(4 * mib, segmentBytes / 4),
    headBytesMax: Math.min(64 * kib, segmentBytes / 16),
    labelBytesMax: Math.min(4 * kib, segmentBytes / 32),
  }
  assertRelations(limits)
  return limits
}

/**
 * The largest record fits a group; the largest group, with a footer of nothing but labels, fits an
 * empty segment. A footer entry is shorter than its record's header, so a group's share of the footer
 * is never larger than the group.
 */
function assertRelations(limits: VolumeLimits): void {
  const largestBody = Math.max(limits.chunkBytes, limits.inlineBytesMax)
  const largestHead = recordFixedBytes + limits.labelBytesMax + limits.headBytesMax
  const checksums = 4 * (Math.ceil(largestBody / checksumBlockBytes) + 1)
  assert(largestHead + checksums + largestBody <= limits.groupBytesMax, 'a record exceeds a group')
  assert(footerEntryFixedBytes < recordFixedBytes + 4, 'a footer entry exceeds its record')
  const group = padded(groupHeaderBytes + limits.groupBytesMax)
  const footer = padded(footerHeaderBytes + limits.groupBytesMax + footerTrailerBytes)
  assert(blockBytes + group + footer <= limits.segmentBytes, 'a group exceeds a segment')
}

/** The next multiple of a block. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes
}

/**
 * 64 MiB; for a small capacity the power of two at or below a 64th of it, at least 1 MiB: what is kept
 * back and what is open must leave a volume that is nearly full enough to clean.
 */
export function defaultSegmentBytes(capacityBytes: number): number {
  const share = 2 ** Math.floor(Math.log2(Math.max(1, capacityBytes / 64)))
  return Math.min(defaultSegmentBytesMax, Math.max(defaultSegmentBytesMin, share))
}
