/**
 * Where a segment ends whose footer is damaged, and whose successor, which said so too, is freed. Header
 * and trailer of the footer each tell; they are in one block where the footer is short.
 */
import { decodeTrailer } from '../format/footer.ts'
import { blockBytes } from '../format/limits.ts'
import type { SegmentEnd } from '../format/segment-header.ts'
import { readBlocks } from './segment-read.ts'
import type { SegmentEntry } from './segment-table.ts'
import { SegmentWalk } from './segment-walk.ts'
import { TolerantSegment } from './tolerant-segment.ts'
import type { VolumeContext } from './volume-context.ts'

export interface FoundEnd {
  readonly end: SegmentEnd
  /** Whether the footer says so, or only that nothing follows. */
  readonly isSure: boolean
}

export async function findLostEnd(context: VolumeContext, entry: SegmentEntry): Promise<FoundEnd> {
  const segment = await context.handles.acquire(entry.segment)
  try {
    const handle = new TolerantSegment(segment)
    const footer = await footerOffset(handle, entry)
    const walk = new SegmentWalk({ handle, seed: entry.seed, limit: footer })
    let highestSeq = entry.previous?.highestSeq ?? 0
    for (;;) {
      const step = await walk.next(true)
      if (step.type === 'group') {
        highestSeq = step.header.highestSeq
        continue
      }
      if (step.type === 'bad' && (await walk.skipTo(step.resumeAt)) !== undefined) continue
      const validEnd = footer ?? step.offset
      const isSure = footer !== undefined || step.type === 'end'
      return { end: { validEnd, lastGroup: walk.lastGroup, highestSeq }, isSure }
    }
  } finally {
    context.handles.release(entry.segment)
  }
}

async function footerOffset(
  handle: TolerantSegment,
  { seed }: SegmentEntry,
): Promise<number | undefined> {
  const lastAt = handle.size - blockBytes
  if (lastAt < blockBytes || handle.size % blockBytes !== 0) return undefined
  const lastBlock = await readBlocks(handle, lastAt, blockBytes)
  const offset = decodeTrailer(lastBlock, handle.size, seed)
  return offset === undefined || offset > lastAt || offset < blockBytes ? undefined : offset
}
