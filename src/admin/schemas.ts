/**
 * JSON schemas of the control plane: requests are checked against them before a handler runs, and
 * answers are serialised by them, so a field that is not in `protocol.ts` cannot leak out.
 */

const text = { type: 'string' } as const
const count = { type: 'integer' } as const
const number = { type: 'number' } as const
const maybeText = { type: ['string', 'null'] } as const
const maybeNumber = { type: ['number', 'null'] } as const

/** An object that has exactly `properties`. */
export function exactly<P extends Readonly<Record<string, object>>>(properties: P) {
  return {
    type: 'object',
    additionalProperties: false,
    required: Object.keys(properties),
    properties,
  } as const
}

const roleName = { type: 'string', enum: ['primary', 'replica'] } as const

export const healthSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['status', 'reasons'],
  properties: {
    status: { type: 'string', enum: ['ok', 'degraded'] },
    reasons: { type: 'array', items: text },
    role: roleName,
  },
} as const

export const purgePreviewSchema = exactly({ count, total_size: count })

export const purgeSchema = exactly({ deleted_count: count, freed_size: count })

/** Legal bucket names; whether the bucket exists is for the store to say. */
export const bucketParamsSchema = exactly({
  bucket: { type: 'string', pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' },
})

/** Nothing but `confirm` is known: a misspelt one must not turn a purge into anything else. */
export const purgeQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: { confirm: { type: 'string', enum: ['true', 'false'] } },
} as const

export const noQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {},
} as const

const verifySummary = {
  verdict: text,
  reason: maybeText,
  up_to: count,
  checked_at: text,
  differences: count,
  waiting: count,
} as const

const remoteSchema = exactly({
  name: text,
  url: text,
  state: text,
  state_since: text,
  cursor: count,
  head: count,
  pending_events: count,
  pending_bytes: count,
  oldest_pending: maybeText,
  in_flight: count,
  pulling: count,
  rate: number,
  wire_bytes: count,
  saved_bytes: count,
  lag_p50_ms: maybeNumber,
  lag_p99_ms: maybeNumber,
  events_queued: count,
  events_replicated: count,
  events_failed: count,
  events_superseded: count,
  remote_superseded: count,
  remote_conflicts: count,
  dead_letters: count,
  replaying: count,
  held_deletes: count,
  held_objects: count,
  apply_delay_seconds: number,
  delayed_events: count,
  delayed_until: maybeText,
  stalled_since: maybeText,
  last_replication: maybeText,
  last_error: maybeText,
  last_error_at: maybeText,
  verify: { anyOf: [{ type: 'null' }, exactly(verifySummary)] },
})

const roleStatusSchema = exactly({
  role: roleName,
  term: count,
  since: maybeText,
  primary: maybeText,
})

const syncStatusSchema = {
  ...exactly({
    waiting: count,
    confirmed: count,
    timed_out: count,
    fallbacks: count,
    degraded_since: maybeText,
  }),
  type: ['object', 'null'],
} as const

export const roleRequestSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['role'],
  properties: { role: roleName, force: { type: 'boolean' }, dry_run: { type: 'boolean' } },
} as const

export const roleSchema = exactly({
  role: roleName,
  term: count,
  outcome: text,
  checks: { type: 'array', items: exactly({ ok: { type: 'boolean' }, text }) },
})

export const statusSchema = exactly({
  enabled: { type: 'boolean' },
  events_queued: count,
  events_replicated: count,
  events_failed: count,
  events_superseded: count,
  pending: count,
  lag_seconds: number,
  last_replication: maybeText,
  site_id: text,
  volume_id: text,
  role: roleStatusSchema,
  sync: syncStatusSchema,
  remotes: { type: 'array', items: remoteSchema },
})

export const remoteParamsSchema = exactly({
  remote: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,31}$' },
})

const texts = { type: 'array', items: text } as const

export const linkedRemoteSchema = exactly({
  name: text,
  urls: texts,
  source: text,
  paused: { type: 'boolean' },
  epoch: count,
  buckets: texts,
  exclude_buckets: texts,
  prefixes: texts,
  exclude_prefixes: texts,
  settings: { type: 'object', additionalProperties: text },
})

export const remotesSchema = exactly({ remotes: { type: 'array', items: linkedRemoteSchema } })

export const removedSchema = exactly({ name: text, told: { type: 'boolean' }, reason: maybeText })

/** Which fields there are, and what they may be, the configuration's own schema knows. */
export const remoteChangeSchema = {
  type: 'object',
  maxProperties: 32,
  additionalProperties: {
    anyOf: [
      { type: 'string', maxLength: 32_768 },
      { type: 'array', maxItems: 1000, items: { type: 'string', maxLength: 1024 } },
      { type: 'null' },
    ],
  },
} as const

/** That exactly one of failed, from and all is there is checked by the handler, in clearer words. */
export const replayRequestSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    failed: { type: 'boolean' },
    from: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    since: { type: 'string', minLength: 1, maxLength: 64 },
    bucket: { type: 'string', minLength: 1, maxLength: 63 },
    prefix: { type: 'string', minLength: 1, maxLength: 1024 },
    all: { type: 'boolean' },
    remote: { type: 'string', minLength: 1, maxLength: 64 },
    dry_run: { type: 'boolean' },
  },
} as const

export const replaySchema = exactly({ count, bytes: count, through: count })

const failedChange = {
  remote: text,
  seq: count,
  bucket: text,
  key: maybeText,
  bytes: count,
  reason: text,
  attempts: count,
  time: text,
}

export const failedSchema = exactly({ failed: { type: 'array', items: exactly(failedChange) } })

export const seqParamsSchema = exactly({ seq: { type: 'string', pattern: '^[1-9][0-9]{0,14}$' } })

export const remoteQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: { remote: { type: 'string', minLength: 1, maxLength: 64 } },
} as const

const currentObjectSchema = exactly({
  version: text,
  bytes: count,
  etag: text,
  last_modified: text,
  content_type: maybeText,
})

const maybeObject = { anyOf: [currentObjectSchema, { type: 'null' }] }

const objectThereSchema = exactly({
  state: text,
  object: maybeObject,
  version: maybeText,
  reason: maybeText,
})

export const failedDetailsSchema = exactly({
  failed: {
    type: 'array',
    items: exactly({
      ...failedChange,
      about: text,
      version: text,
      version_site: text,
      version_time: text,
      current: maybeObject,
      there: { anyOf: [objectThereSchema, { type: 'null' }] },
    }),
  },
})

export const tokensSchema = exactly({
  tokens: {
    type: 'array',
    items: exactly({
      name: text,
      role: text,
      source: text,
      state: text,
      expires: maybeText,
      last_used: maybeText,
      revoked_at: maybeText,
    }),
  },
})

export const revokeRequestSchema = exactly({
  name: { type: 'string', minLength: 1, maxLength: 64 },
})

export const revokedSchema = exactly({ name: text, revoked_at: text, admin_tokens_left: count })

export const verifyRequestSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    remote: { type: 'string', minLength: 1, maxLength: 64 },
    bucket: bucketParamsSchema.properties.bucket,
    deep: { type: 'boolean' },
    repair: { type: 'boolean' },
  },
} as const

const verifyDifference = exactly({
  kind: text,
  what: text,
  bucket: text,
  key: maybeText,
  here: maybeText,
  there: maybeText,
})

export const verifySchema = exactly({
  id: count,
  running: {
    anyOf: [
      { type: 'null' },
      exactly({
        remote: text,
        phase: text,
        compared: count,
        objects_read: count,
        bytes_read: count,
        differences: count,
      }),
    ],
  },
  results: {
    type: 'array',
    items: exactly({
      remote: text,
      ...verifySummary,
      started_at: text,
      compared: count,
      objects_read: count,
      bytes_read: count,
      bytes_exchanged: count,
      repaired: count,
      repair_problem: maybeText,
      kinds: { type: 'object', additionalProperties: count },
      listed: { type: 'array', items: verifyDifference },
    }),
  },
})

/** That there are either seqs or all is checked by the handler, in clearer words. */
export const lettersRequestSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    seqs: {
      type: 'array',
      minItems: 1,
      maxItems: 1000,
      items: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    },
    all: { type: 'boolean' },
    remote: { type: 'string', minLength: 1, maxLength: 64 },
  },
} as const

export const lettersSchema = exactly({ count, bytes: count })

export const heldRequestSchema = {
  type: 'object',
  additionalProperties: false,
  properties: { remote: lettersRequestSchema.properties.remote },
} as const

export const heldSchema = exactly({ deletes: count, objects: count, delayed: count })
