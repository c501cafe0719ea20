/**
 * Gives a segment that was left open, by a crash or after a failed write, the footer that it lacks.
 * Its end is declared elsewhere or found by walking it; what lies behind the end is cut off.
 */
import type { DeviceSegment } from '../../device/device.ts'
import { FooterBuilder, footerLength } from '../format/footer.ts'
import type { SegmentUse } from '../format/record.ts'
import type { SegmentEnd } from '../format/segment-header.ts'
import { readExtent } from '../segments/damaged-extent.ts'
import type { ListedRecord } from '../segments/list-records.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'
import { SegmentWalk } from '../segments/segment-walk.ts'
import type { VolumeContext } from '../segments/volume-context.ts'

/** What somebody still refers to in a segment of the log. */
export type KnownRecords = (use: SegmentUse) => Promise<readonly ListedRecord[]>

/**
 * Finishes `entry` and sets its end, state and footer. Damage in the middle is logged and passed over:
 * it shows again, by name, when the record that it hit is read. A footer that cannot be written is
 * done without until the next opening.
 */
export async function finishSegment(
  context: VolumeContext,
  entry: SegmentEntry,
  knownIn: KnownRecords = async () => [],
): Promise<void> {
  const { handles, logger } = context
  const { segment } = entry
  const handle = await handles.acquire(segment)
  try {
    const { footer, end } = await gather(context, entry, { handle, knownIn })
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
  from: { readonly handle: DeviceSegment; readonly knownIn: KnownRecords },
): Promise<{ readonly footer: FooterBuilder; readonly end: SegmentEnd }> {
  const { handle, knownIn } = from
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
    if (end > offset) {
      const place = { offset, end, groups: undefined }
      const { records } = await readExtent(context, { entry, handle }, place)
      for (const { location, ...record } of withLost(records, await knownIn(entry), place)) {
        footer.add({ ...record, ...location })
      }
    }
    if (later === undefined) {
      return { footer, end: { validEnd: offset, lastGroup: walk.lastGroup, highestSeq } }
    }
    const { segment, generation } = entry
    const facts = { segment, generation, offset, mismatch: step.mismatch, later }
    context.logger.error(facts, 'a segment is damaged in the middle')
  }
}

/**
 * What is left there is moved with the rest when the segment is cleaned. What is lost and still referred to
 * is listed, too, as if it had been damaged after the segment was finished: so it is found.
 */
function withLost(
  left: readonly ListedRecord[],
  known: readonly ListedRecord[],
  { offset, end }: { readonly offset: number; readonly end: number },
): readonly ListedRecord[] {
  const found = new Set(left.map(({ location }) => location.offset))
  const lost = known.filter(({ location: { offset: at } }) => {
    return at >= offset && at < end && !found.has(at)
  })
  return [...left, ...lost].sort((a, b) => a.location.offset - b.location.offset)
}
