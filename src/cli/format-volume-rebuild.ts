/** What came of building an index anew, for a person: first what is lost, since it is what must be read. */
import { formatByteSize } from '../base/byte-size.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import type { LossDocument, RebuildDocument } from '../server/offline/volume-rebuild.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

/** Losses that are printed; all are in the JSON. */
const shownMax = 200

const consequences: Readonly<Record<NonNullable<LossDocument['kind']>, string>> = {
  put: 'it is absent, and what it had replaced does not come back',
  delete: 'it stays deleted, but what the delete had seen is unknown: a conflict may be listed',
  purge:
    'it stays purged, but what the purge had seen is unknown: conflicts may be listed, and their losers kept',
  bucket: 'its creation, deletion or settings are as before: a bucket that was deleted may be back',
  join: 'what its writer had seen is unknown: a conflict may be listed',
  remote: 'it is not shipped to any more: add it again',
  conflict: 'the conflict is not listed any more',
}

const unknown =
  'not known what stood there: what was put there is lost or as it was before, and what was deleted, purged ' +
  'or removed there may be back'

export function formatVolumeRebuild(rebuilt: RebuildDocument): string {
  const { in_place, lost, lost_count, harmless, damaged_places } = rebuilt
  const lines: string[] = []
  if (lost_count > 0) {
    const headline = in_place ? 'lost' : 'would be lost'
    lines.push(`${paint('red', headline)}: ${formatCount(lost_count)}`)
    for (const loss of lost.slice(0, shownMax)) lines.push(`  ${printable(describe(loss))}`)
    const more = lost_count - Math.min(lost.length, shownMax)
    if (more > 0) lines.push(`  and ${formatCount(more)} more`)
  }
  if (damaged_places > 0) {
    const places = countOf(damaged_places, 'damaged place')
    lines.push(`passed over: ${places}, ${countOf(harmless, 'lost record')} that nothing needs`)
  }
  if (in_place) lines.push(summary(rebuilt))
  return lines.join('\n')
}

function summary({ index_path, objects, object_bytes, records }: RebuildDocument): string {
  const held = `${countOf(objects, 'object')} of ${formatByteSize(object_bytes)}`
  return `${printable(index_path)}: ${held}, from ${countOf(records, 'record')} of the log`
}

function describe(loss: LossDocument): string {
  const { segment, generation, offset, end, kind, seq, bucket, key, mismatch } = loss
  const name = bucket === null ? key : key === null ? bucket : `${bucket}/${key}`
  const place = `segment ${segment}, generation ${generation}, offset ${offset}`
  if (kind === null) return `${place} to ${end}: ${mismatch}; ${unknown}`
  const numbered = seq === null ? '' : `, seq ${seq}`
  return `${kind} ${name}${numbered}, ${place}: ${consequences[kind]}`
}
