/** Which fields the answers of a site must have, for their readers to count on them. */

export type Shape = Readonly<
  Record<string, 'string' | 'number' | 'boolean' | 'array' | 'object' | 'text?' | 'number?'>
>

export function isOfShape(value: unknown, wanted: Shape[string]): boolean {
  switch (wanted) {
    case 'array':
      return Array.isArray(value)
    case 'text?':
      return value === null || typeof value === 'string'
    case 'number?':
      return value === null || typeof value === 'number'
    case 'string':
    case 'number':
    case 'boolean':
    case 'object':
      return typeof value === wanted
  }
}

export const linkedShape: Shape = {
  name: 'string',
  urls: 'array',
  source: 'string',
  paused: 'boolean',
  epoch: 'number',
  buckets: 'array',
  exclude_buckets: 'array',
  prefixes: 'array',
  exclude_prefixes: 'array',
}

export const statusShape: Shape = {
  enabled: 'boolean',
  events_queued: 'number',
  events_replicated: 'number',
  events_failed: 'number',
  events_superseded: 'number',
  pending: 'number',
  lag_seconds: 'number',
  last_replication: 'text?',
  site_id: 'string',
  volume_id: 'string',
  role: 'object',
  remotes: 'array',
}

export const remoteShape: Shape = {
  name: 'string',
  url: 'string',
  state: 'string',
  state_since: 'string',
  cursor: 'number',
  head: 'number',
  pending_events: 'number',
  pending_bytes: 'number',
  oldest_pending: 'text?',
  in_flight: 'number',
  pulling: 'number',
  rate: 'number',
  lag_p50_ms: 'number?',
  lag_p99_ms: 'number?',
  events_queued: 'number',
  events_replicated: 'number',
  events_failed: 'number',
  events_superseded: 'number',
  remote_superseded: 'number',
  remote_conflicts: 'number',
  dead_letters: 'number',
  replaying: 'number',
  held_deletes: 'number',
  held_objects: 'number',
  apply_delay_seconds: 'number',
  delayed_events: 'number',
  stalled_since: 'text?',
  last_replication: 'text?',
  last_error: 'text?',
  last_error_at: 'text?',
}

export const failedShape: Shape = {
  remote: 'string',
  seq: 'number',
  bucket: 'string',
  key: 'text?',
  bytes: 'number',
  reason: 'string',
  attempts: 'number',
  time: 'string',
}

export const tokenShape: Shape = {
  name: 'string',
  role: 'string',
  source: 'string',
  state: 'string',
  expires: 'text?',
  last_used: 'text?',
  revoked_at: 'text?',
}

export const conflictsShape: Shape = {
  conflicts: 'array',
  open: 'number',
  noticed: 'number',
  kept: 'number',
  dropped: 'number',
}

export const conflictShape: Shape = {
  id: 'number',
  bucket: 'string',
  key: 'string',
  noticed_at: 'string',
  kept_as: 'text?',
  kept_now: 'boolean',
}

export const sideShape: Shape = {
  site: 'string',
  time: 'string',
  version: 'string',
  kind: 'string',
  size: 'number?',
  etag: 'text?',
}

export const policyShape: Shape = { bucket: 'string', policy: 'string', own: 'boolean' }

export const verifyShape: Shape = {
  remote: 'string',
  verdict: 'string',
  reason: 'text?',
  up_to: 'number',
  checked_at: 'string',
  differences: 'number',
  waiting: 'number',
  listed: 'array',
}

export const scrubShape: Shape = { next_at: 'text?', rate: 'number' }

const scrubCountsShape: Shape = {
  started_at: 'string',
  objects: 'number',
  bytes: 'number',
  records: 'number',
  damaged: 'number',
  healed: 'number',
  gone: 'number',
}

export const scrubProgressShape: Shape = {
  ...scrubCountsShape,
  objects_total: 'number',
  bytes_total: 'number',
}

export const scrubResultShape: Shape = {
  ...scrubCountsShape,
  finished_at: 'string',
  reason: 'text?',
  listed: 'array',
}

export const failedDetailShape: Shape = {
  ...failedShape,
  about: 'string',
  version: 'string',
  version_site: 'string',
  version_time: 'string',
}

export const lettersShape: Shape = { count: 'number', bytes: 'number' }

export const roleShape: Shape = {
  role: 'string',
  term: 'number',
  outcome: 'string',
  checks: 'array',
}
