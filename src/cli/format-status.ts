/** The replication status for a person with 80 columns: words, units, one block per remote. */
import Table from 'cli-table3'
import type {
  LinkState,
  RemoteStatus,
  ReplicationStatusDocument,
  RoleStatus,
  SyncStatus,
} from '../admin/protocol.ts'
import type { VerifySummary } from '../admin/verify-protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { formatDuration } from '../base/duration.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import { type Paint, paint } from './output.ts'
import { printable } from './printable.ts'

type Row = readonly [label: string, text: string]

/** @param now milliseconds since 1970, for "3 s ago" */
export function formatStatus(document: ReplicationStatusDocument, now: number): string {
  const blocks = [
    `${paint('bold', `site ${printable(document.site_id)}`)}, ${roleText(document.role)}${summaryOf(document)}`,
    tableOf(totalRows(document, now)),
  ]
  for (const remote of document.remotes) {
    const name = paint('bold', `remote ${printable(remote.name)}`)
    blocks.push(`${name}, ${printable(remote.url)}`, tableOf(remoteRows(remote, now)))
  }
  return blocks.join('\n')
}

function summaryOf(document: ReplicationStatusDocument): string {
  if (!document.enabled) return 'replication is off (replication.enabled: false)'
  const refused = lettersOf(document)
  if (document.pending === 0) {
    return refused === 0
      ? 'everything has arrived'
      : `everything has arrived but ${countOf(refused, 'refused change')}`
  }
  return `${countOf(document.pending, 'change')} on the way`
}

/** Dead letters that wait for somebody. */
function lettersOf({ remotes }: ReplicationStatusDocument): number {
  return remotes.reduce((sum, remote) => sum + remote.dead_letters, 0)
}

/** Nothing about a primary: that is what sites are. */
function roleText({ role, primary }: RoleStatus): string {
  if (role === 'primary') return ''
  return primary === null ? 'replica, ' : `replica of ${printable(primary)}, `
}

function syncRows(sync: SyncStatus | null, now: number): readonly Row[] {
  if (sync === null) return []
  const parts = [`${countOf(sync.confirmed, 'write')} confirmed`, `${sync.waiting} waiting`]
  if (sync.timed_out > 0) parts.push(`${formatCount(sync.timed_out)} not in time`)
  if (sync.fallbacks > 0) parts.push(`${formatCount(sync.fallbacks)} answered without`)
  const lacks = agoOf(sync.degraded_since, now)
  if (lacks !== undefined) parts.push(paint('red', `unconfirmed writes, the first ${lacks}`))
  return [['sync', parts.join(', ')]]
}

function totalRows(document: ReplicationStatusDocument, now: number): readonly Row[] {
  return [
    ...syncRows(document.sync, now),
    ['changes', `${formatCount(document.events_queued)} since this volume was made`],
    ['replicated', formatCount(document.events_replicated)],
    ['failed', failedText(document)],
    [
      'superseded',
      `${formatCount(document.events_superseded)}, overtaken by a newer change, or made there`,
    ],
    ['pending', formatCount(document.pending)],
    ['lag', document.pending === 0 ? 'none' : formatDuration(document.lag_seconds * 1000)],
    ['last success', agoOf(document.last_replication, now) ?? 'none yet'],
  ]
}

/** All that ever failed is counted; what was sent again, discarded or overtaken since is listed no more. */
function failedText(document: ReplicationStatusDocument): string {
  const { events_failed: failed } = document
  const open = lettersOf(document)
  if (failed === 0) return '0'
  if (open === 0) return `${formatCount(failed)}: sent again, discarded or overtaken since`
  const count = paint('red', formatCount(failed))
  const waiting = open === failed ? '' : `, ${formatCount(open)} of them open`
  return `${count}${waiting}: comio repl failed list shows why`
}

function remoteRows(remote: RemoteStatus, now: number): readonly Row[] {
  const rows: Row[] = [
    ['state', stateText(remote, now)],
    ['position', `${formatCount(remote.cursor)} of ${formatCount(remote.head)}`],
    ...stalledRows(remote, now),
    ['pending', pendingText(remote, now)],
    ...heldRows(remote),
    ...replayRows(remote),
    ['in flight', inFlightText(remote)],
    ['rate', `${remote.rate >= 10 ? Math.round(remote.rate) : remote.rate.toFixed(1)} changes/s`],
    ['lag', lagText(remote)],
    ['sent', sentText(remote)],
  ]
  if (remote.remote_superseded > 0) {
    rows.push(['was newer', `${countOf(remote.remote_superseded, 'object')} at the other side`])
  }
  if (remote.remote_conflicts > 0) {
    rows.push(['conflicts', `${formatCount(remote.remote_conflicts)}, the highest version won`])
  }
  if (remote.verify !== null) rows.push(['verified', verifyText(remote.verify)])
  if (remote.last_error !== null) {
    const ago = agoOf(remote.last_error_at, now)
    rows.push([
      'last error',
      `${ago === undefined ? '' : `${ago}: `}${printable(remote.last_error)}`,
    ])
  }
  return rows
}

function verifyText({ verdict, reason, up_to, checked_at, differences }: VerifySummary): string {
  switch (verdict) {
    case 'equal':
      return `equal up to seq ${formatCount(up_to)}, checked at ${printable(checked_at)}`
    case 'different':
      return `${paint('red', countOf(differences, 'difference'))}, checked at ${printable(checked_at)}`
    case 'unknown':
      return `unknown: ${printable(reason ?? 'no reason is known')}`
  }
}

function stalledRows({ stalled_since }: RemoteStatus, now: number): readonly Row[] {
  if (stalled_since === null) return []
  const ago = agoOf(stalled_since, now) ?? 'long ago'
  return [['stalled', paint('red', `nothing was acknowledged since ${ago}`)]]
}

function heldRows(remote: RemoteStatus): readonly Row[] {
  const rows: Row[] = []
  const { held_deletes, held_objects, delayed_events, delayed_until } = remote
  if (held_deletes > 0) {
    const what = `${countOf(held_deletes, 'delete')} of ${countOf(held_objects, 'object')}`
    rows.push(['held', paint('red', `${what}: comio repl release, or discard`)])
  }
  if (delayed_until !== null) {
    const what = countOf(delayed_events, 'change')
    rows.push(['delayed', `${what}, the oldest goes at ${printable(delayed_until)}`])
  }
  return rows
}

function replayRows({ replaying, dead_letters }: RemoteStatus): readonly Row[] {
  const rows: Row[] = []
  if (replaying > 0)
    rows.push(['replay', `${countOf(replaying, 'change')} still to be queued again`])
  if (dead_letters > 0) {
    rows.push(['dead letters', `${formatCount(dead_letters)} wait: comio repl failed list`])
  }
  return rows
}

const stateColours: Readonly<Record<LinkState, Paint>> = {
  disabled: 'dim',
  paused: 'yellow',
  connecting: 'yellow',
  'catching-up': 'yellow',
  idle: 'green',
  streaming: 'green',
  unreachable: 'red',
  refused: 'red',
  full: 'red',
  failing: 'red',
}

function stateText(remote: RemoteStatus, now: number): string {
  const since = Date.parse(remote.state_since)
  const duration = Number.isNaN(since) ? '' : ` for ${formatDuration(Math.max(0, now - since))}`
  // A newer site may know states that this table does not.
  const colour: Paint = stateColours[remote.state] ?? 'bold'
  return `${paint(colour, printable(remote.state))}${duration}`
}

function pendingText(remote: RemoteStatus, now: number): string {
  if (remote.pending_events === 0) return 'nothing'
  const ago = agoOf(remote.oldest_pending, now)
  const oldest = ago === undefined ? '' : `, the oldest from ${ago}`
  const size = formatByteSize(remote.pending_bytes)
  return `${countOf(remote.pending_events, 'change')}, ${size}${oldest}`
}

function inFlightText(remote: RemoteStatus): string {
  const pulling =
    remote.pulling === 0 ? '' : `, ${countOf(remote.pulling, 'large object')} on the way`
  return `${countOf(remote.in_flight, 'change')}${pulling}`
}

function lagText(remote: RemoteStatus): string {
  if (remote.lag_p50_ms === null || remote.lag_p99_ms === null) {
    return 'nothing was sent in the last minute'
  }
  const typical = formatDuration(remote.lag_p50_ms)
  return `${typical} typical (p50), ${formatDuration(remote.lag_p99_ms)} slow (p99), last minute`
}

function sentText({ wire_bytes: wire, saved_bytes: saved }: RemoteStatus): string {
  const share = saved === 0 ? 0 : Math.round((100 * saved) / (wire + saved))
  const less = share === 0 ? '' : `, ${share}% less by compression`
  return `${formatByteSize(wire)} since the start${less}`
}

function agoOf(time: string | null, now: number): string | undefined {
  const at = time === null ? Number.NaN : Date.parse(time)
  return Number.isNaN(at) ? undefined : `${formatDuration(Math.max(0, now - at))} ago`
}

const labelColumns = 14
const textColumns = 64

/** 80 columns at most: 14 + 64 and the lines of the frame, less the padding inside. */
function tableOf(rows: readonly Row[]): string {
  const table = new Table({
    colWidths: [labelColumns, textColumns - 1],
    style: { head: [], border: [], compact: true },
    wordWrap: true,
    wrapOnWordBoundary: rows.every(([, text]) => hasShortWords(text)),
  })
  table.push(...rows.map(([label, text]) => [label, text]))
  return table.toString()
}

/** The table cuts a word that is longer than its column; breaking it loses nothing. */
function hasShortWords(text: string): boolean {
  return text.split(' ').every((word) => word.length < textColumns - 4)
}
