/**
 * `comio volume dump`: what stands in the segments, in the order in which it was written, with the
 * damage between it. Needs neither index nor superblock nor a volume that opens.
 */
import type { ServerConfig } from '../../config/server-config.ts'
import { needsBody } from '../../store/tables/records.ts'
import type {
  GroupRecord,
  SegmentEntry,
  SegmentStep,
  VolumeInspection,
} from '../../volume/inspection/volume-inspection.ts'
import { withOfflineVolume } from './offline-volume.ts'
import { type RecordDocument, recordDocument } from './record-document.ts'

export interface DumpSelection {
  readonly segment?: number | undefined
  /** Empty for all. */
  readonly kinds: readonly string[]
  /** The records that name this bucket, and this key if there is one. */
  readonly of?: { readonly bucket: string; readonly key?: string } | undefined
}

export interface DumpedSegment {
  readonly type: 'segment'
  readonly segment: number
  readonly generation: number
  readonly stream: SegmentEntry['stream']
  readonly state: SegmentEntry['state']
  readonly bytes: number
}

export interface DumpedRecord extends RecordDocument {
  readonly type: 'record'
  readonly segment: number
  readonly generation: number
  readonly offset: number
  readonly head_length: number
  readonly body_length: number
  readonly seq: number
  /** What is wrong with its bytes; absent when they check out. */
  readonly damage?: string
}

export interface DumpedDamage {
  readonly type: 'damage'
  readonly segment: number
  readonly generation: number
  readonly offset: number
  readonly mismatch: string
  /** Null when nothing valid follows in the segment. */
  readonly resumes_at: number | null
}

export type DumpDocument =
  | {
      readonly type: 'volume'
      readonly volume_id: string
      readonly site_id: string | null
      /** The process that has the volume open. */
      readonly in_use_by: number | null
      readonly damaged_slots: readonly number[]
      readonly problems: readonly string[]
    }
  | DumpedSegment
  | DumpedRecord
  | DumpedDamage

export interface DumpTotals {
  segments: number
  records: number
  /** Of places where something does not check out, what is wrong with the volume as a whole included. */
  damage: number
}

/** @param emit is awaited before more is read */
export async function dumpVolume(
  config: ServerConfig,
  selection: DumpSelection,
  emit: (document: DumpDocument) => Promise<void> | undefined,
): Promise<DumpTotals> {
  const totals: DumpTotals = { segments: 0, records: 0, damage: 0 }
  await withOfflineVolume(config, 'pass', async ({ inspection, inUse }) => {
    const { volumeId, superblock, damagedSlots, problems } = inspection
    const pid = inUse?.facts.pid
    totals.damage += problems.length
    await emit({
      type: 'volume',
      volume_id: volumeId,
      site_id: superblock?.identity.siteId ?? null,
      in_use_by: typeof pid === 'number' ? pid : null,
      damaged_slots: damagedSlots,
      problems: problems.map(({ message }) => message),
    })
    for (const entry of inspection.segments) {
      if (selection.segment !== undefined && selection.segment !== entry.segment) continue
      totals.segments++
      await emit(segmentDocument(entry))
      for await (const step of inspection.steps(entry)) {
        for await (const document of documentsOf(inspection, entry, step)) {
          if (document.type === 'record' && !isSelected(document, selection)) continue
          if (document.type === 'record') totals.records++
          else totals.damage++
          await emit(document)
        }
      }
    }
  })
  return totals
}

function segmentDocument(entry: SegmentEntry): DumpedSegment {
  const { segment, generation, stream, state, bytes } = entry
  return { type: 'segment', segment, generation, stream, state, bytes }
}

/** In the order in which it stands there. */
async function* documentsOf(
  inspection: VolumeInspection,
  entry: SegmentEntry,
  step: SegmentStep,
): AsyncGenerator<DumpedRecord | DumpedDamage> {
  if (step.type === 'end') return
  const { segment, generation } = entry
  if (step.type === 'damage') {
    const { type, offset, mismatch, resumesAt } = step
    yield { type, segment, generation, offset, mismatch, resumes_at: resumesAt ?? null }
    for (const { record, mismatch } of step.lost) {
      if (record !== undefined) yield await documentOf(inspection, entry, { record, mismatch })
    }
  }
  for (const record of step.records) yield await documentOf(inspection, entry, { record })
}

async function documentOf(
  inspection: VolumeInspection,
  entry: SegmentEntry,
  { record, mismatch }: { readonly record: GroupRecord; readonly mismatch?: string },
): Promise<DumpedRecord> {
  const { segment, generation } = entry
  const { offset, headLength, bodyLength, seq } = record
  const where = { segment, generation, offset, head_length: headLength, body_length: bodyLength }
  // A damaged body is not decoded.
  const isRead = needsBody(record) && mismatch === undefined
  const body = isRead
    ? await inspection.bytesOf(entry, offset + headLength, bodyLength)
    : Buffer.of(0)
  const said = recordDocument(record, body)
  return {
    type: 'record',
    ...where,
    seq,
    ...said,
    ...(mismatch === undefined ? {} : { damage: mismatch }),
  }
}

function isSelected(document: DumpedRecord, { kinds, of }: DumpSelection): boolean {
  if (kinds.length > 0 && !kinds.some((kind) => kind === document.kind)) return false
  if (of === undefined) return true
  return document.bucket === of.bucket && (of.key === undefined || of.key === document.key)
}
