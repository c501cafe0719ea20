/**
 * Gives a segment that was left open, by a crash or after a failed write, the footer that it lacks.
 * Its end is declared elsewhere or found by walking it; what lies behind the end is cut off.
 */
import type { DeviceSegment } from '../../device/device.ts'
import { FooterBuilder, footerLength } from '../format/footer.ts'
import type { SegmentEnd } from '../format/segment-header.ts'
import { readExtent } from '../segments/damaged-extent.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'
import { SegmentWalk } from '../segments/segment-walk.ts'
import type { VolumeContext } from '../segments/volume-context.ts'

/**
 * Finishes `entry` and sets its end, state and footer. Damage in the middle is logged and passed over:
 * it shows again, by name, when the record that it hit is read. A footer that cannot be written is
 * done without until the next opening.
 */
export async function finishSegment(context: VolumeContext, entry: SegmentEntry): Promise<void> {
  const { handles, logger } = context
  const { segment } = entry
  const handle = await handles.acquire(segment)
  try {
    const { footer, end } = await gather(context, entry, handle)
    entry.end ??= end
    context.table.seal(entry)
    await writeFooter(context, entry, { handle, footer, end: entry.end })
  } catch (error) {
    if (entry.end === undefined) throw error
    logger.warn({ segment, error }, 'a segment was left without its footer')
  } finally {
    handles.release(segment)
  }
}

async function writeFooter(
  context: VolumeContext,
  entry: SegmentEntry,
  found: {
    readonly handle: DeviceSegment
    readonly footer: FooterBuilder
    readonly end: SegmentEnd
  },
): Promise<void> {
  const { handle, footer, end } = found
  const size = end.validEnd + footerLength(footer.entriesBytes)
  if (size > handle.size) {
    context.logger.warn({ segment: entry.segment, size }, 'a segment has no room for its footer')
    return
  }
  // What was found may not have been durable yet; it must be before a footer says that it is.
  await handle.sync()
  await handle.write(footer.encode(end, entry.seed), end.validEnd)
  await handle.sync()
  await handle.trim(size)
  context.table.resize(entry, handle.size)
  entry.hasFooter = true
}

async function gather(
  context: VolumeContext,
  entry: SegmentEntry,
  handle: DeviceSegment,
): Promise<{ readonly footer: FooterBuilder; readonly end: SegmentEnd }> {
  const walk = new SegmentWalk({ handle, seed: entry.seed, limit: entry.end?.validEnd })
  const footer = new FooterBuilder()
  let highestSeq = entry.previous?.highestSeq ?? 0
  for (;;) {
    const step = await walk.next()
    if (step.type === 'group') {
      highestSeq = step.header.highestSeq
      for (const record of step.records) footer.add(record)
      continue
    }
    const { offset } = step
    const later = step.type === 'bad' ? await walk.skipTo(step.resumeAt) : undefined
    const end = later ?? entry.end?.validEnd ?? offset
    // What is left there is moved with the rest when the segment is cleaned.
    const place = { offset, end, groups: undefined }
    const { records } = await readExtent(context, { entry, handle }, place)
    for (const { location, ...record } of records) footer.add({ ...record, ...location })
    if (later === undefined) {
      return { footer, end: { validEnd: offset, lastGroup: walk.lastGroup, highestSeq } }
    }
    const { segment, generation } = entry
    const facts = { segment, generation, offset, mismatch: step.mismatch, later }
    context.logger.error(facts, 'a segment is damaged in the middle')
  }
}
