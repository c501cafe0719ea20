/**
 * What can be told of a part of a log segment in which no group checks out as a whole. A record's header
 * has a checksum of its own, seeded with its place, so each one that is whole is found wherever it
 * stands; of the others the segment's footer knows what they are about. When both fill the groups that
 * have to be there without a gap, nothing else was lost.
 */
import type { DamageFacts } from '../format/errors.ts'
import { CorruptLogError } from '../format/errors.ts'
import { decodeGroupHeader } from '../format/group-codec.ts'
import { blockBytes, groupHeaderBytes, padded, recordFixedBytes } from '../format/limits.ts'
import type { LogPosition, ReplayedRecord } from '../format/record.ts'
import { decodeRecordHeader, type RecordHeader } from '../format/record-codec.ts'
import { type ListedRecord, listRecords } from './list-records.ts'
import { type ReadableSegment, readBlocks } from './segment-read.ts'
import type { SegmentEntry } from './segment-table.ts'
import type { VolumeContext } from './volume-context.ts'

/** A record takes no fewer bytes. */
export const recordBytesMin = recordFixedBytes + 4
const windowBytes = 2 ** 20

export interface DamagedExtent extends DamageFacts {
  /** Where a later group begins, or the groups end. */
  readonly end: number
  /** Those whose header checks out, whether or not their bytes do. */
  readonly records: readonly ReplayedRecord[]
  /** What the footer names besides. */
  readonly lost: readonly ListedRecord[]
  /** Whether these are all that stood there. */
  readonly isAccounted: boolean
  /** No seq above it can have been given up to its end. */
  readonly highestSeq: number
}

export interface LeftOfExtent extends Pick<DamagedExtent, 'records' | 'lost' | 'isAccounted'> {
  /** How many groups it was, where all is accounted for. */
  readonly groups: number
}

export interface ExtentPlace {
  readonly offset: number
  readonly end: number
  /** How many groups stood there; undefined where nobody knows. */
  readonly groups: number | undefined
}

export async function readExtent(
  context: VolumeContext,
  segment: { readonly entry: SegmentEntry; readonly handle: ReadableSegment },
  place: ExtentPlace,
): Promise<LeftOfExtent> {
  const { entry, handle } = segment
  const { offset, end, groups } = place
  const groupEnd = { segment: entry.segment, generation: entry.generation, offset: end }
  const records: ReplayedRecord[] = []
  for await (const found of recordsWithin(handle, entry, place)) {
    records.push(replayedRecord(found, groupEnd))
  }
  const intact = new Set(records.map(({ location }) => location.offset))
  const listed = await footerOf(context, entry)
  const lost = listed.filter(({ location: { offset: at } }) => {
    return at >= offset && at < end && !intact.has(at)
  })
  const frames = [...records, ...lost]
    .map(({ location: { offset, headLength, bodyLength } }) => {
      return { offset, end: offset + headLength + bodyLength }
    })
    .sort((a, b) => a.offset - b.offset)
  const counted = await groupsFilled({ entry, handle }, place, frames)
  const isAccounted = groups === undefined ? (counted ?? 0) > 0 : counted === groups
  return { records, lost, isAccounted, groups: isAccounted ? (counted ?? 0) : 0 }
}

interface FoundRecord extends RecordHeader {
  readonly offset: number
}

/** The records whose header is whole, in order; those inside of another one's bytes do not count. */
async function* recordsWithin(
  handle: ReadableSegment,
  { seed }: SegmentEntry,
  { offset: from, end }: ExtentPlace,
): AsyncGenerator<FoundRecord> {
  let bytes: Buffer = Buffer.alloc(0)
  let start = from
  for (let offset = from + groupHeaderBytes; offset + recordBytesMin <= end; ) {
    const at = offset - start
    // A header fits into half of a window.
    if (at > bytes.length - windowBytes / 2 && start + bytes.length < end) {
      start = offset
      bytes = await readBlocks(handle, start, Math.min(windowBytes, end - start))
      if (bytes.length < recordBytesMin) return
      continue
    }
    if (at + recordBytesMin > bytes.length) return
    const header = looksLikeHeader(bytes, at)
      ? decodeRecordHeader(bytes, at, { offset, seed })
      : undefined
    if (header === undefined || typeof header === 'string') {
      offset++
      continue
    }
    const behind = offset + header.headLength + header.bodyLength
    if (behind > end) {
      offset++
      continue
    }
    yield { ...header, offset }
    offset = behind
  }
}

/** Cheaper than decoding, since it is asked at every byte. */
function looksLikeHeader(bytes: Buffer, at: number): boolean {
  const headLength = bytes.readUInt32LE(at)
  return headLength >= recordBytesMin && headLength <= windowBytes / 2 && bytes[at + 17] === 0
}

function replayedRecord(found: FoundRecord, groupEnd: LogPosition): ReplayedRecord {
  const { kind, seq, label, head, offset, headLength, bodyLength } = found
  const { segment, generation } = groupEnd
  const location = { segment, generation, offset, headLength, bodyLength }
  return { kind, seq, label: Buffer.from(label), head: Buffer.from(head), location, groupEnd }
}

async function footerOf(
  context: VolumeContext,
  entry: SegmentEntry,
): Promise<readonly ListedRecord[]> {
  if (!entry.hasFooter) return []
  try {
    return await listRecords(context, entry)
  } catch (thrown) {
    if (!(thrown instanceof CorruptLogError)) throw thrown
    return []
  }
}

/** How many groups the frames fill without a gap; undefined when they do not. */
async function groupsFilled(
  { entry, handle }: { readonly entry: SegmentEntry; readonly handle: ReadableSegment },
  place: ExtentPlace,
  frames: readonly { readonly offset: number; readonly end: number }[],
): Promise<number | undefined> {
  let groups = 0
  let next = 0
  let at = place.offset
  while (at < place.end) {
    const first = next
    let behind = at + groupHeaderBytes
    for (let frame = frames[next]; frame?.offset === behind; frame = frames[++next]) {
      behind = frame.end
    }
    if (next === first || !(await endsThere({ entry, handle }, at, behind))) return undefined
    groups++
    at = padded(behind)
  }
  return at === place.end && next === frames.length ? groups : undefined
}

/** As the group's header says; without one, as the zeros behind it do. */
async function endsThere(
  { entry, handle }: { readonly entry: SegmentEntry; readonly handle: ReadableSegment },
  offset: number,
  behind: number,
): Promise<boolean> {
  const first = await readBlocks(handle, offset, blockBytes)
  const header = decodeGroupHeader(first, 0, { offset, seed: entry.seed })
  if (header !== undefined) return offset + groupHeaderBytes + header.payloadBytes === behind
  const padding = await readBlocks(handle, behind, padded(behind) - behind)
  return padding.every((byte) => byte === 0)
}
