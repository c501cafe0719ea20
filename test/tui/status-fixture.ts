import type { RemoteStatus, ReplicationStatusDocument } from '../../src/admin/protocol.ts'

/** A local time today, as the protocol writes it. */
export function todayAt(hours: number, minutes: number, seconds: number): string {
  const time = new Date()
  time.setHours(hours, minutes, seconds, 0)
  return time.toISOString()
}

export function remoteStatus(more: Partial<RemoteStatus> = {}): RemoteStatus {
  return {
    name: 'site-b',
    url: 'http://127.0.0.1:8081',
    state: 'streaming',
    state_since: todayAt(14, 2, 11),
    cursor: 1284,
    head: 1284,
    pending_events: 0,
    pending_bytes: 0,
    oldest_pending: null,
    in_flight: 0,
    pulling: 0,
    rate: 0,
    wire_bytes: 0,
    saved_bytes: 0,
    lag_p50_ms: 12,
    lag_p99_ms: 81,
    events_queued: 1284,
    events_replicated: 1284,
    events_failed: 0,
    events_superseded: 0,
    remote_superseded: 0,
    remote_conflicts: 0,
    dead_letters: 0,
    replaying: 0,
    held_deletes: 0,
    held_objects: 0,
    apply_delay_seconds: 0,
    delayed_events: 0,
    delayed_until: null,
    stalled_since: null,
    last_replication: todayAt(14, 2, 9),
    last_error: null,
    last_error_at: null,
    verify: null,
    ...more,
  }
}

export const behind: Partial<RemoteStatus> = {
  ...{ pending_events: 523, pending_bytes: 12 * 2 ** 20, head: 1807, events_queued: 1807 },
  ...{ in_flight: 100, pulling: 2, rate: 130 },
}

export function statusDocument(...remotes: readonly RemoteStatus[]): ReplicationStatusDocument {
  const sum = (of: (remote: RemoteStatus) => number): number =>
    remotes.reduce((total, remote) => total + of(remote), 0)
  return {
    enabled: remotes.length > 0,
    events_queued: sum((remote) => remote.events_queued),
    events_replicated: sum((remote) => remote.events_replicated),
    events_failed: sum((remote) => remote.events_failed),
    events_superseded: sum((remote) => remote.events_superseded),
    pending: sum((remote) => remote.pending_events),
    lag_seconds: 0,
    last_replication: remotes[0]?.last_replication ?? null,
    site_id: 'site-a',
    volume_id: 'volume-1',
    role: { role: 'primary', term: 0, since: null, primary: null },
    sync: null,
    remotes,
  }
}
