/** `comio volume info`: what a volume is, and how much of it is alive. */
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import { isoTime } from '../../base/iso-time.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { type IndexSummary, summarizeIndex } from '../../store/tables/index-summary.ts'
import { formatVersion } from '../../volume/format/limits.ts'
import type { SegmentEntry, VolumeInspection } from '../../volume/inspection/volume-inspection.ts'
import { type IndexView, withIndexView, withOfflineVolume } from './offline-volume.ts'

/** What of a stream's segments; null where only the index would know. */
export interface StreamDocument {
  /** Still being written, or left so by a crash. */
  readonly open: number
  readonly sealed: number
  /** What the files take. */
  readonly bytes: number
  /** Up to the last group. */
  readonly written_bytes: number
  readonly live_records: number | null
  readonly live_bytes: number | null
  /** Records that nothing refers to, and what surrounds records. */
  readonly dead_bytes: number | null
}

export interface VolumeInfoDocument {
  readonly storage_path: string
  readonly format: number
  readonly volume_id: string
  readonly site_id: string | null
  readonly incarnation: string | null
  readonly incarnation_since: string | null
  readonly segment_bytes: number | null
  /** The process that has the volume open. */
  readonly in_use_by: number | null
  readonly log: StreamDocument
  readonly bulk: StreamDocument
  readonly unused_slots: number
  readonly damaged_slots: number
  readonly index: {
    readonly path: string | null
    readonly state: IndexView['state']
    readonly reason: string | null
    readonly bytes: number | null
    readonly checkpoint: {
      readonly segment: number
      readonly generation: number
      readonly offset: number
    } | null
    readonly feed_head: number | null
    readonly feed_places: number | null
  }
  readonly problems: readonly string[]
}

export async function volumeInfo(config: ServerConfig): Promise<VolumeInfoDocument> {
  return await withOfflineVolume(config, 'look', (volume) =>
    withIndexView(volume, async (view) => {
      const { inspection, storagePath, indexPath, inUse } = volume
      const { superblock } = inspection
      const identity = superblock?.identity
      const index = await lookAtIndex(view)
      const summary = index.summary
      const pid = inUse?.facts.pid
      return {
        storage_path: storagePath,
        format: formatVersion,
        volume_id: inspection.volumeId,
        site_id: identity?.siteId ?? null,
        incarnation: identity?.incarnation ?? null,
        incarnation_since: identity === undefined ? null : isoTime(identity.incarnationSince),
        segment_bytes: superblock?.segmentBytes ?? null,
        in_use_by: typeof pid === 'number' ? pid : null,
        log: await streamDocument(inspection, 'log', summary),
        bulk: await streamDocument(inspection, 'bulk', summary),
        unused_slots: inspection.unusedSlots.length,
        damaged_slots: inspection.damagedSlots.length,
        index: {
          path: indexPath ?? null,
          state: index.state,
          reason: index.reason,
          bytes: index.bytes,
          checkpoint: summary?.checkpoint ?? null,
          feed_head: summary?.head ?? null,
          feed_places: summary?.places ?? null,
        },
        problems: inspection.problems.map(({ message }) => message),
      }
    }),
  )
}

interface LookedAtIndex {
  readonly state: IndexView['state']
  readonly reason: string | null
  readonly bytes: number | null
  readonly summary: IndexSummary | undefined
}

async function lookAtIndex(view: IndexView): Promise<LookedAtIndex> {
  if (view.state !== 'sound') return { ...view, bytes: null, summary: undefined }
  try {
    const summary = await summarizeIndex(view.index)
    return { state: 'sound', reason: null, bytes: await view.index.size(), summary }
  } catch (thrown) {
    rethrowAssertion(thrown)
    return { state: 'unreadable', reason: messageOf(thrown), bytes: null, summary: undefined }
  }
}

async function streamDocument(
  inspection: VolumeInspection,
  stream: SegmentEntry['stream'],
  summary: IndexSummary | undefined,
): Promise<StreamDocument> {
  const entries = inspection.segments.filter((entry) => entry.stream === stream)
  const sealed = entries.filter(({ state }) => state === 'sealed').length
  let bytes = 0
  let written = 0
  let liveRecords = 0
  let liveBytes = 0
  for (const entry of entries) {
    bytes += entry.bytes
    written += await inspection.writtenEnd(entry)
    const count = summary?.segments.get(entry.segment)
    if (count?.generation !== entry.generation) continue
    liveRecords += count.records
    liveBytes += count.bytes
  }
  const known = summary !== undefined
  return {
    open: entries.length - sealed,
    sealed,
    bytes,
    written_bytes: written,
    live_records: known ? liveRecords : null,
    live_bytes: known ? liveBytes : null,
    dead_bytes: known ? Math.max(0, written - liveBytes) : null,
  }
}
