import type { RemoteStatus, ReplicationStatusDocument, SyncStatus } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { formatDuration } from '../base/duration.ts'
import { formatCount } from '../base/format-count.ts'
import {
  describeLink,
  describeTrend,
  formatTime,
  type LinkDescription,
  labelOf,
  type Tone,
} from './describe-link.ts'
import type { LinkRates, StatusHistory } from './status-history.ts'

/** Why the site's own figures are old: it cannot be asked. */
export interface SourceFailure {
  readonly message: string
  readonly hint: string | undefined
  readonly since: Date
}

/** Everything the screen shows, in words, so that the screen itself only arranges. */
export interface StatusView {
  readonly url: string
  readonly now: Date
  readonly siteId: string | undefined
  /** What the site is to clients; undefined before the first answer. */
  readonly role: 'primary' | 'replica' | undefined
  /** When the figures were true; undefined before the first answer. */
  readonly asOf: Date | undefined
  readonly failure: SourceFailure | undefined
  /** About the site as a whole: whose replica it is, and how its answers wait in sync mode. */
  readonly rows: readonly LinkRow[]
  readonly links: readonly LinkView[]
}

export interface LinkView extends LinkDescription {
  readonly name: string
  readonly url: string
  readonly rows: readonly LinkRow[]
  /** The backlog of the last minute, for a given width. */
  readonly backlog: (columns: number) => readonly (number | undefined)[]
}

export interface LinkRow {
  readonly name: string
  readonly text: string
  readonly tone?: Tone
}

export function viewLink(remote: RemoteStatus, history: StatusHistory, now: Date): LinkView {
  const rates = history.rates(remote.name)
  return {
    ...describeLink(remote, rates),
    name: remote.name === 'default' ? labelOf(remote) : remote.name,
    url: remote.url,
    rows: rowsOf(remote, rates, now),
    backlog: (columns) => history.backlog(remote.name, columns),
  }
}

export function viewSite({ role, sync }: ReplicationStatusDocument, now: Date): readonly LinkRow[] {
  const rows = sync === null ? [] : syncRows(sync, now)
  if (role.role === 'primary') return rows
  const primary = role.primary === null ? 'has not heard of a primary yet' : `of ${role.primary}`
  return [{ name: 'role', text: `replica ${primary}` }, ...rows]
}

function syncRows(sync: SyncStatus, now: Date): readonly LinkRow[] {
  const { confirmed, waiting, timed_out: timedOut, fallbacks, degraded_since: degraded } = sync
  const parts = [
    `${formatCount(confirmed)} confirmed`,
    `${formatCount(waiting)} waiting`,
    `${formatCount(timedOut)} not in time`,
    `${formatCount(fallbacks)} answered without`,
  ]
  const row = { name: 'sync', text: parts.join(' · ') }
  if (degraded === null) return [row]
  const text = `no remote has all writes since ${formatTime(degraded, now)}`
  return [row, { name: 'unconfirmed', text, tone: 'bad' }]
}

function rowsOf(remote: RemoteStatus, rates: LinkRates | undefined, now: Date): LinkRow[] {
  const row = (name: string, ...parts: readonly (string | undefined)[]): LinkRow => ({
    name,
    text: parts.filter((part) => part !== undefined).join(' · '),
  })
  const isPending = remote.pending_events > 0
  return [
    row('link', `${remote.state} since ${formatTime(remote.state_since, now)}`),
    ...stalledOf(remote, now),
    row(
      'backlog',
      `${formatCount(remote.pending_events)} behind`,
      isPending ? formatByteSize(remote.pending_bytes) : undefined,
      isPending ? oldestOf(remote, now) : undefined,
      remote.replaying > 0 ? `${formatCount(remote.replaying)} to replay` : undefined,
    ),
    ...heldOf(remote, now),
    row('rate', ...ratesOf(remote, rates), isPending ? describeTrend(remote, rates) : undefined),
    row('lag', lagOf(remote)),
    row(
      'in flight',
      `${formatCount(remote.in_flight)} sent`,
      `${formatCount(remote.pulling)} large ones on the way`,
    ),
    row('sent', `${formatCount(remote.events_replicated)} so far`, lastOf(remote, now)),
    ...superseded(remote),
    ...failuresOf(remote),
    ...verifiedOf(remote, now),
    ...errorOf(remote, now),
  ]
}

function stalledOf({ stalled_since }: RemoteStatus, now: Date): LinkRow[] {
  if (stalled_since === null) return []
  const text = `nothing was acknowledged since ${formatTime(stalled_since, now)}`
  return [{ name: 'stalled', text, tone: 'bad' }]
}

function heldOf(remote: RemoteStatus, now: Date): LinkRow[] {
  const { held_deletes, held_objects, delayed_events, delayed_until } = remote
  const rows: LinkRow[] = []
  if (held_deletes > 0) {
    const text = `${formatCount(held_deletes)} deletes of ${formatCount(held_objects)} objects · see: comio repl release`
    rows.push({ name: 'held', text, tone: 'bad' })
  }
  if (delayed_until !== null) {
    const text = `${formatCount(delayed_events)} · the oldest goes at ${formatTime(delayed_until, now)}`
    rows.push({ name: 'delayed', text, tone: 'off' })
  }
  return rows
}

function oldestOf(remote: RemoteStatus, now: Date): string | undefined {
  if (remote.oldest_pending === null) return undefined
  const ageMs = Math.max(0, now.getTime() - new Date(remote.oldest_pending).getTime())
  return `oldest ${formatDuration(ageMs)}`
}

function ratesOf(remote: RemoteStatus, rates: LinkRates | undefined): readonly string[] {
  if (rates === undefined) return [`out ${perSecond(remote.rate)}`]
  return [`in ${perSecond(rates.inPerSecond)}`, `out ${perSecond(rates.outPerSecond)}`]
}

function perSecond(rate: number): string {
  return `${rate >= 10 || rate === 0 ? formatCount(Math.round(rate)) : rate.toFixed(1)}/s`
}

function lagOf(remote: RemoteStatus): string {
  const { lag_p50_ms: p50, lag_p99_ms: p99 } = remote
  if (p50 === null || p99 === null) return 'nothing was sent in the last minute'
  return `p50 ${formatDuration(p50)} · p99 ${formatDuration(p99)}`
}

function lastOf(remote: RemoteStatus, now: Date): string {
  if (remote.last_replication === null) return 'none yet'
  return `last at ${formatTime(remote.last_replication, now)}`
}

function superseded(remote: RemoteStatus): LinkRow[] {
  const { remote_superseded: newer, remote_conflicts: conflicts } = remote
  if (newer === 0 && conflicts === 0) return []
  const text = `${formatCount(newer)} found newer there · ${formatCount(conflicts)} in conflict`
  return [{ name: 'other side', text, ...(conflicts > 0 ? { tone: 'bad' } : {}) }]
}

function failuresOf(remote: RemoteStatus): LinkRow[] {
  const { events_failed: failed, dead_letters: open } = remote
  if (failed === 0) return [{ name: 'failed', text: 'none' }]
  if (open === 0) {
    const text = `${formatCount(failed)} · sent again, discarded or overtaken since`
    return [{ name: 'failed', text, tone: 'off' }]
  }
  const text = `${formatCount(failed)} · ${formatCount(open)} waiting · see: comio repl failed list`
  return [{ name: 'failed', text, tone: 'bad' }]
}

function verifiedOf({ verify }: RemoteStatus, now: Date): LinkRow[] {
  if (verify === null) return []
  const at = formatTime(verify.checked_at, now)
  switch (verify.verdict) {
    case 'equal': {
      const text = `equal up to seq ${formatCount(verify.up_to)} · checked at ${at}`
      return [{ name: 'verified', text, tone: 'good' }]
    }
    case 'different': {
      const text = `${formatCount(verify.differences)} different · checked at ${at} · see: comio repl verify`
      return [{ name: 'verified', text, tone: 'bad' }]
    }
    case 'unknown':
      return [{ name: 'verified', text: `unknown at ${at} · ${verify.reason ?? ''}`, tone: 'off' }]
  }
}

function errorOf(remote: RemoteStatus, now: Date): LinkRow[] {
  if (remote.last_error === null) return []
  const at = remote.last_error_at === null ? '' : `${formatTime(remote.last_error_at, now)} `
  const isNow = ['unreachable', 'refused', 'full', 'failing'].includes(remote.state)
  return [{ name: 'last error', text: `${at}${remote.last_error}`, tone: isNow ? 'bad' : 'off' }]
}
