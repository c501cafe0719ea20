/** What a sealed segment holds, read from its footer and not from its bytes where it has one. */
import { CorruptLogError } from '../format/errors.ts'
import { decodeFooterEntries, decodeFooterHeader } from '../format/footer.ts'
import { footerHeaderBytes } from '../format/limits.ts'
import type { Location } from '../format/record.ts'
import { readBlocks } from './segment-read.ts'
import type { SegmentEntry } from './segment-table.ts'
import { SegmentWalk } from './segment-walk.ts'
import type { VolumeContext } from './volume-context.ts'

export interface ListedRecord {
  readonly kind: number
  readonly seq: number
  readonly label: Uint8Array
  readonly location: Location
}

/** @throws CorruptLogError */
export async function listRecords(
  context: VolumeContext,
  entry: SegmentEntry,
): Promise<readonly ListedRecord[]> {
  const { segment, generation, seed } = entry
  const offset = entry.end?.validEnd ?? 0
  const bytes = await readFooter(context, entry, offset)
  const header = decodeFooterHeader(bytes, 0, { offset, seed })
  const found =
    header === undefined
      ? 'there is no footer where the groups end'
      : decodeFooterEntries(entriesIn(bytes, header.entriesBytes), header, seed)
  if (typeof found === 'string') {
    throw new CorruptLogError({ segment, generation, offset, mismatch: found })
  }
  return found.map(({ kind, seq, label, offset, headLength, bodyLength }) => {
    return { kind, seq, label, location: { segment, generation, offset, headLength, bodyLength } }
  })
}

/**
 * The same also without a sound footer: then the groups are walked, as far as they are whole.
 * @throws the device's error
 */
export async function scanRecords(
  context: VolumeContext,
  entry: SegmentEntry,
): Promise<readonly ListedRecord[]> {
  if (entry.hasFooter) {
    try {
      return await listRecords(context, entry)
    } catch (thrown) {
      if (!(thrown instanceof CorruptLogError)) throw thrown
    }
  }
  const { segment, generation, seed } = entry
  const handle = await context.handles.acquire(segment)
  try {
    const walk = new SegmentWalk({ handle, seed, limit: entry.end?.validEnd })
    const found: ListedRecord[] = []
    for (;;) {
      const step = await walk.next()
      if (step.type !== 'group') {
        if (step.type === 'end' || (await walk.skipTo(step.resumeAt)) === undefined) return found
        continue
      }
      for (const { kind, seq, label, offset, headLength, bodyLength } of step.records) {
        const location = { segment, generation, offset, headLength, bodyLength }
        found.push({ kind, seq, label: Buffer.from(label), location })
      }
    }
  } finally {
    context.handles.release(segment)
  }
}

async function readFooter(
  { handles }: VolumeContext,
  { segment }: SegmentEntry,
  offset: number,
): Promise<Buffer> {
  const handle = await handles.acquire(segment)
  try {
    return await readBlocks(handle, offset, handle.size - offset)
  } finally {
    handles.release(segment)
  }
}

function entriesIn(footer: Buffer, length: number): Buffer {
  return footer.subarray(footerHeaderBytes, footerHeaderBytes + length)
}
