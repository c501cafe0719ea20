/** What a check of a volume found, by kind, for a person. */

import { formatByteSize } from '../base/byte-size.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import type { VerifyFinding, VolumeVerifyDocument } from '../server/offline/volume-verify.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

/** Findings of one kind that are printed; the rest is counted, and in the JSON. */
const shownMax = 50

const kinds: Readonly<Record<VerifyFinding['kind'], string>> = {
  superblock: 'the superblock',
  'missing-segment': 'segments that are missing',
  'segment-header': 'segments with a damaged header',
  'segment-chain': 'segments that contradict each other',
  group: 'damaged places in the log',
  record: 'records with damaged bytes',
  'index-absent': 'no index',
  'index-foreign': 'an index of another volume',
  'index-unreadable': 'an index that does not open',
  unindexed: 'records that the index lacks',
  dangling: 'index entries without their record',
  feed: 'places that the change feed lacks',
  count: 'totals that are wrong',
  value: 'entries that do not decode',
}

export function formatVolumeVerify(found: VolumeVerifyDocument): string {
  const { records, segments, bytes, index_entries } = found
  const read = `${countOf(records, 'record')} in ${countOf(segments, 'segment')}, ${formatByteSize(bytes)}`
  const checked = `${read}, against ${formatCount(index_entries)} index entries`
  if (found.sound) return `${paint('green', 'sound')}: ${checked}`
  // Where only the index is missing, nobody is to think that data is.
  const isLogSound = Object.keys(found.findings).every((kind) => kind.startsWith('index-'))
  const headline = isLogSound
    ? `${paint('yellow', 'log sound, but nothing to compare it with')}: ${read}`
    : `${paint('red', 'damaged')}: ${checked}`
  const lines = [headline]
  for (const [kind, name] of Object.entries(kinds)) {
    const count = found.findings[kind] ?? 0
    if (count === 0) continue
    lines.push(`${name}: ${formatCount(count)}`)
    const shown = found.listed.filter((listed) => listed.kind === kind).slice(0, shownMax)
    for (const finding of shown) lines.push(`  ${describe(finding)}`)
    if (count > shown.length) lines.push(`  and ${formatCount(count - shown.length)} more`)
  }
  return lines.join('\n')
}

function describe({
  message,
  segment,
  generation,
  offset,
  bucket,
  key,
  seq,
}: VerifyFinding): string {
  const name = bucket === null ? key : key === null ? bucket : `${bucket}/${key}`
  const at = offset === null ? '' : `, offset ${offset}`
  const place = segment === null ? [] : [`segment ${segment}, generation ${generation}${at}`]
  const parts = [
    ...(name === null ? [] : [name]),
    ...(seq === null || seq === 0 ? [] : [`seq ${seq}`]),
    ...place,
  ]
  return printable(parts.length === 0 ? message : `${parts.join(', ')}: ${message}`)
}
