import type { RemoteStatus } from '../../src/admin/protocol.ts'

/** An idle remote with `changes`. */
export function remoteStatus(changes: Partial<RemoteStatus>): RemoteStatus {
  return {
    name: 'default',
    url: 'http://127.0.0.1:9',
    state: 'idle',
    state_since: '2025-12-03T20:00:00.000Z',
    cursor: 0,
    head: 0,
    pending_events: 0,
    pending_bytes: 0,
    oldest_pending: null,
    in_flight: 0,
    pulling: 0,
    rate: 0,
    wire_bytes: 0,
    saved_bytes: 0,
    lag_p50_ms: null,
    lag_p99_ms: null,
    events_queued: 0,
    events_replicated: 0,
    events_failed: 0,
    events_superseded: 0,
    remote_superseded: 0,
    remote_conflicts: 0,
    dead_letters: 0,
    replaying: 0,
    stalled_since: null,
    last_replication: null,
    last_error: null,
    last_error_at: null,
    verify: null,
    ...changes,
  }
}
