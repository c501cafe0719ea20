/**
 * The first look at a device: which segments are there, and where those with a footer end. Nothing is
 * changed. A slot whose header was never synced holds nothing, since groups come after the header.
 */
import type { Device } from '../../device/device.ts'
import { CorruptLogError } from '../format/errors.ts'
import { decodeFooterHeader, decodeTrailer } from '../format/footer.ts'
import { blockBytes } from '../format/limits.ts'
import {
  decodeSegmentHeader,
  type SegmentEnd,
  type SegmentHeader,
} from '../format/segment-header.ts'
import { SegmentSeed } from '../format/segment-seed.ts'
import { type ReadableSegment, readBlocks } from './segment-read.ts'
import { entryOf, type SegmentEntry } from './segment-table.ts'

/** Segments looked at together. */
const scanWidth = 16
const zeros = Buffer.alloc(2 ** 20)

export interface SegmentScan {
  readonly entries: readonly SegmentEntry[]
  /** Slots that were made ahead and not used: zeros. */
  readonly blank: readonly number[]
  /** Slots whose header was torn by a crash before anything was written behind it. */
  readonly torn: readonly number[]
}

/** A slot that holds neither a segment nor what a crash explains. */
export interface SlotDamage {
  readonly mismatch: string
}

export type ScannedSlot = SegmentEntry | 'blank' | 'torn' | SlotDamage

/** One that was made ahead and never used looks like it when a bit of it has turned over. */
const headlessHint =
  'Restore the segment, or a backup, or refill this site from another. In a directory the file can be put aside: if it was needed, the site says at its start what is missing, and the file can go back, or comio volume rebuild go on without.'

/** @throws CorruptLogError, FormatTooNewError */
export async function scanSegments(device: Device, volumeId: Buffer): Promise<SegmentScan> {
  const slots = await device.list()
  const entries: SegmentEntry[] = []
  const blank: number[] = []
  const torn: number[] = []
  for (let from = 0; from < slots.length; from += scanWidth) {
    const some = slots.slice(from, from + scanWidth)
    const scanned = await Promise.all(some.map((slot) => openAndScan(device, slot, volumeId)))
    for (const [index, found] of scanned.entries()) {
      const slot = some[index] ?? 0
      if (found === 'blank') blank.push(slot)
      else if (found === 'torn') torn.push(slot)
      else if (!('mismatch' in found)) entries.push(found)
      else {
        const { mismatch } = found
        const place = { segment: slot, generation: 0, offset: 0 }
        throw new CorruptLogError({ ...place, mismatch }, headlessHint)
      }
    }
  }
  return { entries, blank, torn }
}

async function openAndScan(device: Device, slot: number, volumeId: Buffer): Promise<ScannedSlot> {
  const handle = await device.open(slot)
  try {
    return await scanSlot(handle, slot, volumeId)
  } finally {
    await handle.close()
  }
}

/** @throws FormatTooNewError */
export async function scanSlot(
  handle: ReadableSegment,
  slot: number,
  volumeId: Buffer,
): Promise<ScannedSlot> {
  const first = await readBlocks(handle, 0, blockBytes)
  const header = decodeSegmentHeader(first, { segment: slot, volumeId })
  if (!('mismatch' in header)) return await scanSegment(handle, header, volumeId)
  if (await isZeroFrom(handle, blockBytes)) return isZero(first) ? 'blank' : 'torn'
  return header
}

async function scanSegment(
  handle: ReadableSegment,
  header: SegmentHeader,
  volumeId: Buffer,
): Promise<SegmentEntry> {
  const seed = new SegmentSeed(volumeId, header)
  const end = await findFooter(handle, seed)
  const state = end === undefined ? 'open' : 'sealed'
  return entryOf(header, { seed, state, bytes: handle.size, end })
}

/** The end as the footer declares it; undefined without a whole footer at the end of the segment. */
export async function findFooter(
  handle: ReadableSegment,
  seed: SegmentSeed,
): Promise<SegmentEnd | undefined> {
  const lastAt = handle.size - blockBytes
  if (lastAt < blockBytes || handle.size % blockBytes !== 0) return undefined
  const lastBlock = await readBlocks(handle, lastAt, blockBytes)
  if (lastBlock.length < blockBytes) return undefined
  const offset = decodeTrailer(lastBlock, handle.size, seed)
  if (offset === undefined || offset > lastAt) return undefined
  const bytes = offset === lastAt ? lastBlock : await readBlocks(handle, offset, blockBytes)
  const footer = decodeFooterHeader(bytes, 0, { offset, seed })
  if (footer === undefined) return undefined
  const { validEnd, lastGroup, highestSeq } = footer
  return { validEnd, lastGroup, highestSeq }
}

/** Looks at all of it: what is not all zeros may be somebody's data, and is not thrown away. */
async function isZeroFrom(handle: ReadableSegment, offset: number): Promise<boolean> {
  for (let at = offset; at < handle.size; at += zeros.length) {
    const bytes = await readBlocks(handle, at, Math.min(zeros.length, handle.size - at))
    if (!isZero(bytes)) return false
  }
  return true
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(zeros.subarray(0, bytes.length))
}
