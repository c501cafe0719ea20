/** Conflicts for a person with 80 columns. */
import type {
  ConflictDocument,
  ConflictSideDocument,
  ConflictsDocument,
} from '../admin/conflict-protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import { formatInstant } from './format-instant.ts'
import { printable } from './printable.ts'

export function formatConflicts(document: ConflictsDocument): string {
  const { conflicts, open, noticed, dropped } = document
  if (open === 0) return `no conflict is open; ${countOf(noticed, 'conflict')} noticed so far`
  const lines = conflicts.map(formatConflict)
  const rest = open - conflicts.length
  if (rest > 0) lines.push(`${formatCount(rest)} more: --limit shows up to 1,000`)
  if (dropped > 0) lines.push(`${formatCount(dropped)} older ones have left the list unresolved`)
  return `${lines.join('\n\n')}\n\n${countOf(open, 'open conflict')}; comio repl conflicts resolve ID --keep winner|loser`
}

export function formatConflict(conflict: ConflictDocument): string {
  const { id, bucket, key, winner, loser, noticed_at } = conflict
  return [
    `${id}  ${printable(`${bucket}/${key}`)}`,
    `    won   ${describeSide(winner)}`,
    `    lost  ${describeSide(loser)}`,
    `    ${describeCopy(conflict)}; noticed ${formatInstant(noticed_at)}`,
  ].join('\n')
}

function describeSide({ site, time, kind, size, etag }: ConflictSideDocument): string {
  const what = size === null ? kind : `${kind} of ${formatByteSize(size)}, etag ${etag}`
  return `${printable(site)}, ${formatInstant(time)}: ${what}`
}

function describeCopy({ kept_as, kept_now, loser }: ConflictDocument): string {
  if (kept_as !== null && kept_now) return `kept as ${printable(kept_as)}`
  if (kept_as !== null) return `was kept as ${printable(kept_as)}, which is gone`
  return loser.kind === 'put' ? 'not kept' : 'nothing to keep'
}
