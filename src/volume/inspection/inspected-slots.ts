/**
 * What lies in the slots of a device, without a word of the superblock where there is none. A segment
 * whose header is damaged is still read when another place tells which generation it had.
 */
import { messageOf } from '../../base/errors.ts'
import { FormatTooNewError } from '../format/errors.ts'
import { blockBytes } from '../format/limits.ts'
import { decodeSegmentHeader, type Seal } from '../format/segment-header.ts'
import { SegmentSeed } from '../format/segment-seed.ts'
import type { RegisteredSegment } from '../format/superblock.ts'
import type { HandleCache } from '../segments/handle-cache.ts'
import { readBlocks } from '../segments/segment-read.ts'
import { findFooter, scanSlot } from '../segments/segment-scan.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'
import { SegmentWalk } from '../segments/segment-walk.ts'
import { TolerantSegment } from '../segments/tolerant-segment.ts'

export interface DamagedSlot {
  readonly segment: number
  readonly mismatch: string
}

export interface SlotLooks {
  readonly entries: readonly SegmentEntry[]
  /** Zeros, or a first write that a crash cut off. */
  readonly unused: readonly number[]
  readonly damaged: readonly DamagedSlot[]
}

/** The volume that most segments say they belong to. */
export async function votedVolumeId(
  handles: HandleCache,
  slots: readonly number[],
): Promise<string | undefined> {
  const votes = new Map<string, number>()
  for (const slot of slots) {
    const first = await withSlot(handles, slot, (handle) => readBlocks(handle, 0, blockBytes))
    const volumeId = first.subarray(24, 40)
    if (typeof headerOf(first, slot, volumeId) === 'string') continue
    const id = volumeId.toString('hex')
    votes.set(id, (votes.get(id) ?? 0) + 1)
  }
  return [...votes].sort(([, a], [, b]) => b - a)[0]?.[0]
}

export async function lookAtSlots(
  handles: HandleCache,
  slots: readonly number[],
  volumeId: string,
): Promise<SlotLooks> {
  const entries: SegmentEntry[] = []
  const unused: number[] = []
  const damaged: DamagedSlot[] = []
  for (const slot of slots) {
    const found = await withSlot(handles, slot, (handle) => lookAt(handle, slot, volumeId))
    if (found === 'unused') unused.push(slot)
    else if (typeof found === 'string') damaged.push({ segment: slot, mismatch: found })
    else entries.push(found)
  }
  return { entries, unused, damaged }
}

async function lookAt(
  handle: TolerantSegment,
  slot: number,
  volumeId: string,
): Promise<SegmentEntry | 'unused' | string> {
  try {
    const found = await scanSlot(handle, slot, Buffer.from(volumeId, 'hex'))
    if (found !== 'blank' && found !== 'torn') {
      return 'mismatch' in found ? found.mismatch : found
    }
    // Zeros that are there because the disk read nothing are none.
    return handle.unreadableBlocks === 0 ? 'unused' : 'the disk does not read its header'
  } catch (thrown) {
    if (thrown instanceof FormatTooNewError) return messageOf(thrown)
    throw thrown
  }
}

function headerOf(first: Buffer, segment: number, volumeId: Buffer): string | undefined {
  try {
    const header = decodeSegmentHeader(first, { segment, volumeId })
    return 'mismatch' in header ? header.mismatch : undefined
  } catch (thrown) {
    if (thrown instanceof FormatTooNewError) return messageOf(thrown)
    throw thrown
  }
}

/** What others say of a segment that cannot say it itself. */
export interface Testimony extends Pick<RegisteredSegment, 'stream' | 'generation'> {
  readonly seal?: Seal
}

/** The segment as one of `testimonies` has it, if groups of that generation are in it. */
export async function headlessSegment(
  handles: HandleCache,
  facts: { readonly segment: number; readonly volumeId: string },
  testimonies: readonly Testimony[],
): Promise<SegmentEntry | undefined> {
  const { segment } = facts
  return await withSlot(handles, segment, async (handle) => {
    for (const { stream, generation, seal } of testimonies) {
      const use = { segment, generation }
      const seed = new SegmentSeed(Buffer.from(facts.volumeId, 'hex'), use)
      const walk = new SegmentWalk({ handle, seed })
      if ((await walk.skipTo(blockBytes)) === undefined) continue
      const footer = await findFooter(handle, seed)
      const end = footer ?? seal
      return {
        ...{ ...use, stream, seed, previous: undefined, end, hasFooter: footer !== undefined },
        ...{ footerLasts: undefined, bytes: handle.size, pins: 0, freeing: false },
        state: end === undefined ? 'open' : 'sealed',
      }
    }
    return undefined
  })
}

async function withSlot<T>(
  handles: HandleCache,
  slot: number,
  work: (handle: TolerantSegment) => Promise<T>,
): Promise<T> {
  const handle = await handles.acquire(slot)
  try {
    return await work(new TolerantSegment(handle))
  } finally {
    handles.release(slot)
  }
}
