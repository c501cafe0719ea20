/** What a volume is, a line each, for a person. */

import { formatByteSize } from '../base/byte-size.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import type { StreamDocument, VolumeInfoDocument } from '../server/offline/volume-info.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

export function formatVolumeInfo(info: VolumeInfoDocument): string {
  const { index } = info
  const rows: readonly (readonly [label: string, text: string | undefined])[] = [
    ['storage', info.storage_path],
    ['site', info.site_id ?? unknown],
    ['format', formatText(info)],
    ['incarnation', incarnationText(info)],
    ['log', segmentsText(info.log)],
    ['', liveText(info.log)],
    ['bulk', segmentsText(info.bulk)],
    ['', liveText(info.bulk)],
    ['slots', slotsText(info)],
    ['index', indexText(index)],
    ['checkpoint', checkpointText(index.checkpoint)],
    ['feed', feedText(info)],
  ]
  const lines = rows.flatMap(([label, text]) =>
    text === undefined ? [] : [`  ${label.padEnd(13)}${printable(text)}`],
  )
  return [`${paint('bold', 'volume')} ${info.volume_id}`, ...lines].join('\n')
}

/** What is wrong, and what could not be looked at. */
export function warningsOf(info: VolumeInfoDocument): readonly string[] {
  const { in_use_by: pid, index, problems } = info
  const inUse = 'what it is writing now, and its index, are left out'
  const warnings: string[] = []
  if (index.state === 'in use') {
    warnings.push(`${pid === null ? 'a process' : `process ${pid}`} runs on this volume: ${inUse}`)
  } else if (index.state !== 'sound') {
    warnings.push(`${index.reason}: what is live is not known`)
  }
  return [...warnings, ...problems].map(printable)
}

const unknown = 'not known without the superblock'

function formatText({ format, segment_bytes }: VolumeInfoDocument): string {
  const segments = segment_bytes === null ? '' : `, segments of ${formatByteSize(segment_bytes)}`
  return `${format}${segments}`
}

function incarnationText({ incarnation, incarnation_since }: VolumeInfoDocument): string {
  return incarnation === null ? unknown : `${incarnation}, since ${incarnation_since}`
}

function segmentsText({ open, sealed, bytes, written_bytes }: StreamDocument): string {
  const segments = `${countOf(sealed + open, 'segment')} (${formatCount(open)} open)`
  return `${segments}, ${formatByteSize(bytes)}, ${formatByteSize(written_bytes)} written`
}

function liveText({ live_records, live_bytes, dead_bytes }: StreamDocument): string | undefined {
  if (live_records === null || live_bytes === null || dead_bytes === null) return undefined
  const live = `${formatByteSize(live_bytes)} live in ${countOf(live_records, 'record')}`
  return `${live}, ${formatByteSize(dead_bytes)} dead`
}

function slotsText({ unused_slots, damaged_slots }: VolumeInfoDocument): string | undefined {
  const parts: string[] = []
  if (unused_slots > 0) parts.push(`${formatCount(unused_slots)} made ahead`)
  if (damaged_slots > 0) parts.push(`${formatCount(damaged_slots)} damaged`)
  return parts.length === 0 ? undefined : parts.join(', ')
}

function checkpointText(checkpoint: VolumeInfoDocument['index']['checkpoint']): string | undefined {
  if (checkpoint === null) return undefined
  const { segment, generation, offset } = checkpoint
  return `segment ${segment}, generation ${generation}, offset ${offset}`
}

function feedText({ index }: VolumeInfoDocument): string | undefined {
  const { feed_head, feed_places } = index
  if (feed_head === null || feed_places === null) return undefined
  return `head ${formatCount(feed_head)}, ${countOf(feed_places, 'place')}`
}

function indexText({ path, bytes }: VolumeInfoDocument['index']): string {
  if (path === null) return 'not named, and nothing can lie beside a block device'
  return bytes === null ? path : `${path}, ${formatByteSize(bytes)}`
}
