/**
 * The groups of a segment in order, and the damage between them. Behind damage it goes on at the next
 * block at which the header of a later group, or the footer, checks out.
 */
import type { DeviceSegment } from '../../device/device.ts'
import { FooterBuilder } from '../format/footer.ts'
import { decodeGroupHeader, type GroupRecord } from '../format/group-codec.ts'
import { blockBytes, groupHeaderBytes } from '../format/limits.ts'
import { type LostRecord, salvageRecords } from '../format/salvage.ts'
import type { SegmentEnd } from '../format/segment-header.ts'
import type { Superblock } from '../format/superblock.ts'
import { readBlocks } from '../segments/segment-read.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'
import { SegmentWalk, type WalkStop } from '../segments/segment-walk.ts'
import { TolerantSegment } from '../segments/tolerant-segment.ts'

export type SegmentStep =
  | {
      readonly type: 'group'
      readonly offset: number
      readonly end: number
      readonly number: number
      readonly records: readonly GroupRecord[]
    }
  | DamagedStep
  /** Where the groups end. */
  | ({ readonly type: 'end' } & SegmentEnd)

export interface DamagedStep {
  readonly type: 'damage'
  readonly offset: number
  readonly mismatch: string
  /** Undefined when nothing valid follows. */
  readonly resumesAt: number | undefined
  /** What is intact of a group that is not. */
  readonly records: readonly GroupRecord[]
  readonly lost: readonly LostRecord[]
}

export async function* stepsOf(
  segment: DeviceSegment,
  entry: SegmentEntry,
  superblock: Superblock | undefined,
): AsyncGenerator<SegmentStep> {
  const handle = new TolerantSegment(segment)
  const walk = new SegmentWalk({
    handle,
    seed: entry.seed,
    limit: entry.end?.validEnd,
    strict: true,
  })
  let highestSeq = entry.previous?.highestSeq ?? 0
  const footer = entry.hasFooter ? new FooterBuilder() : undefined
  let damaged = false
  for (;;) {
    const step = await walk.next()
    if (step.type === 'group') {
      const { type, offset, end, header, records } = step
      highestSeq = header.highestSeq
      for (const record of records) footer?.add(record)
      yield { type, offset, end, number: header.number, records }
      continue
    }
    const found = { validEnd: step.offset, lastGroup: walk.lastGroup, highestSeq }
    const stop = await afterStop(walk, { stop: step, entry, superblock, found, damaged })
    if (stop !== undefined) {
      damaged = true
      const { offset } = step
      const left = step.type === 'bad' ? await leftOf(handle, entry, offset) : nothingLeft
      yield { type: 'damage', offset, ...stop, ...left }
      if (stop.resumesAt !== undefined) continue
    }
    if (
      footer !== undefined &&
      !damaged &&
      !(await stands(handle, footer.encode(found, entry.seed), step.offset))
    ) {
      const mismatch = 'its footer does not list what is in it'
      yield { type: 'damage', offset: step.offset, mismatch, resumesAt: undefined, ...nothingLeft }
    }
    yield { type: 'end', ...found }
    return
  }
}

/** What is wrong with where the walk stopped; undefined when the groups end there in order. */
async function afterStop(
  walk: SegmentWalk,
  at: {
    readonly stop: WalkStop
    readonly entry: SegmentEntry
    readonly superblock: Superblock | undefined
    readonly found: SegmentEnd
    readonly damaged: boolean
  },
): Promise<Pick<DamagedStep, 'mismatch' | 'resumesAt'> | undefined> {
  const { stop, entry, superblock, found, damaged } = at
  const resumesAt = stop.type === 'bad' ? await walk.skipTo(stop.resumeAt) : undefined
  if (resumesAt !== undefined) return { mismatch: stop.mismatch, resumesAt }
  const early = endsEarly(entry, superblock, found)
  if (early !== undefined) return { mismatch: `${stop.mismatch}; ${early}`, resumesAt }
  const { end } = entry
  if (end === undefined || damaged) return undefined
  if (end.lastGroup === found.lastGroup && end.highestSeq === found.highestSeq) return undefined
  const mismatch =
    `group ${found.lastGroup} with seq ${found.highestSeq} is the last, its seal names group ` +
    `${end.lastGroup} with seq ${end.highestSeq}`
  return { mismatch, resumesAt }
}

/** A crash tears the tail of the newest segment only, and nothing that was known to be durable. */
function endsEarly(
  entry: SegmentEntry,
  superblock: Superblock | undefined,
  { validEnd }: SegmentEnd,
): string | undefined {
  if (entry.end !== undefined) {
    return validEnd < entry.end.validEnd ? `its groups end at ${entry.end.validEnd}` : undefined
  }
  if (superblock === undefined) return undefined
  const { logEnd, segmentBytes } = superblock
  if (entry.bytes < segmentBytes) return `it is cut off at ${entry.bytes} of ${segmentBytes} bytes`
  if (logEnd?.generation !== entry.generation || validEnd >= logEnd.offset) return undefined
  return `the log ended at ${logEnd.offset} when the volume was closed`
}

/** Whether just these bytes lie there. */
async function stands(
  handle: TolerantSegment,
  pieces: readonly Buffer[],
  offset: number,
): Promise<boolean> {
  const wanted = Buffer.concat(pieces)
  return wanted.equals(await readBlocks(handle, offset, wanted.length))
}

const nothingLeft = { records: [], lost: [] }

async function leftOf(
  handle: TolerantSegment,
  { seed }: SegmentEntry,
  offset: number,
): Promise<Pick<DamagedStep, 'records' | 'lost'>> {
  const first = await readBlocks(handle, offset, blockBytes)
  const header = decodeGroupHeader(first, 0, { offset, seed })
  if (header === undefined) return nothingLeft
  const bytes = await readBlocks(handle, offset, groupHeaderBytes + header.payloadBytes)
  return salvageRecords(bytes, header, { offset, seed })
}
