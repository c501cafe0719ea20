/**
 * The control plane's documents, as JSON over HTTP under `/admin`. Shared by the handler (server
 * side) and the client (command line and TUI), which never see the engine.
 */
import type { VerifySummary } from './verify-protocol.ts'

/** `GET /admin/health`: 200 as long as this site can serve, 503 only when it cannot. Always open. */
export interface HealthDocument {
  readonly status: 'ok' | 'degraded'
  readonly reasons: readonly string[]
  /** Absent while the site is starting or stopping. */
  readonly role?: 'primary' | 'replica'
}

/** `DELETE /admin/{bucket}/objects` without `?confirm=true`. */
export interface PurgePreviewDocument {
  readonly count: number
  readonly total_size: number
}

/** `DELETE /admin/{bucket}/objects?confirm=true`. */
export interface PurgeDocument {
  readonly deleted_count: number
  readonly freed_size: number
}

export type LinkState =
  | 'disabled'
  /** By an operator, until it is resumed. */
  | 'paused'
  /** First handshake not yet made. */
  | 'connecting'
  | 'catching-up'
  /** Nothing pending. */
  | 'idle'
  | 'streaming'
  /** Not reachable, or it answers with errors of its own: probed until it answers. */
  | 'unreachable'
  /** It says no: wrong token, clock skew, protocol. `last_error` has the reason. */
  | 'refused'
  /** It has no room: what takes some waits, and is tried now and then. */
  | 'full'
  /** This site's own end fails and is started again. `last_error` has the reason. */
  | 'failing'

export interface RemoteStatus {
  readonly name: string
  readonly url: string
  readonly state: LinkState
  /** When the state began, ISO 8601. */
  readonly state_since: string
  /** Every change up to this seq is done. */
  readonly cursor: number
  /** The highest seq of this site's feed. */
  readonly head: number
  readonly pending_events: number
  readonly pending_bytes: number
  /** When the oldest pending change was made, ISO 8601; null when nothing is pending. */
  readonly oldest_pending: string | null
  readonly in_flight: number
  /** Large objects on their way now, pulled by the remote or pushed to it. */
  readonly pulling: number
  /** Changes acknowledged per second, over the last ten seconds. */
  readonly rate: number
  /** Bytes of changes and large objects sent since this site was started, compressed as they went. */
  readonly wire_bytes: number
  /** How many more they would have been without compression. */
  readonly saved_bytes: number
  /** Commit here to durable acknowledgement there, milliseconds, over the last minute; null without samples. */
  readonly lag_p50_ms: number | null
  readonly lag_p99_ms: number | null
  readonly events_queued: number
  readonly events_replicated: number
  readonly events_failed: number
  readonly events_superseded: number
  /** The remote already had something newer. */
  readonly remote_superseded: number
  /** Neither side had seen the other's write. */
  readonly remote_conflicts: number
  /** Refused for good, and neither replayed, discarded nor overtaken. */
  readonly dead_letters: number
  /** Selected by a replay and not queued again yet; 0 when none is under way. */
  readonly replaying: number
  /** Deletes and purges that are held back since a limit was reached: pending, among the others. */
  readonly held_deletes: number
  /** Objects that they remove, at most. */
  readonly held_objects: number
  /** How old a change must be before it is sent, seconds; 0 without a delay. */
  readonly apply_delay_seconds: number
  /** Changes that are not old enough. */
  readonly delayed_events: number
  /** When the oldest of them goes, ISO 8601; null when none waits for that. */
  readonly delayed_until: string | null
  /** Since when a backlog goes without an acknowledgement for too long; null while all is well. */
  readonly stalled_since: string | null
  readonly last_replication: string | null
  readonly last_error: string | null
  readonly last_error_at: string | null
  /** The last comparison of this site with the remote; null before the first since the start. */
  readonly verify: VerifySummary | null
}

/** What this site is to clients. */
export interface RoleStatus {
  /** A replica refuses their writes. */
  readonly role: 'primary' | 'replica'
  /** Of two primaries the one with the lower term steps down. */
  readonly term: number
  /** When it was promoted or demoted, ISO 8601; null while the configuration decides. */
  readonly since: string | null
  /** At a replica, where writes belong; null while no primary was heard of. */
  readonly primary: string | null
}

/** Sync mode, since the site was started. */
export interface SyncStatus {
  /** Answers that wait for the remote now. */
  readonly waiting: number
  readonly confirmed: number
  /** Not confirmed in time, and answered 503. */
  readonly timed_out: number
  /** Not confirmed in time, and answered all the same. */
  readonly fallbacks: number
  /** Since when the remote lacks such a write, ISO 8601; null when it lacks none. */
  readonly degraded_since: string | null
}

/** `GET /admin/replication/status`. Totals are since the volume was made. */
export interface ReplicationStatusDocument {
  readonly enabled: boolean
  /** events_queued = events_replicated + events_failed + events_superseded + pending, always. */
  readonly events_queued: number
  readonly events_replicated: number
  readonly events_failed: number
  readonly events_superseded: number
  readonly pending: number
  /** Age of the oldest pending change; 0 when none is pending. */
  readonly lag_seconds: number
  readonly last_replication: string | null
  readonly site_id: string
  readonly volume_id: string
  readonly role: RoleStatus
  /** Null in mode async. */
  readonly sync: SyncStatus | null
  readonly remotes: readonly RemoteStatus[]
}

/** `GET /admin/replication/remotes`. */
export interface RemotesDocument {
  readonly remotes: readonly RemoteDocument[]
}

/** Where this site ships to; tokens are not told. */
export interface RemoteDocument {
  readonly name: string
  /** Addresses of the same site, tried in turn. */
  readonly urls: readonly string[]
  /** Who said so; `unused` when it is in the configuration no more, or replication is off. */
  readonly source: 'configuration' | 'added' | 'unused'
  readonly paused: boolean
  /** Names the link; a remote that is removed and added again has a higher one. */
  readonly epoch: number
  readonly buckets: readonly string[]
  readonly exclude_buckets: readonly string[]
  readonly prefixes: readonly string[]
  readonly exclude_prefixes: readonly string[]
  /** What it has of its own, such as `workers`, as people write it. The rest is as for all remotes. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * `POST /admin/replication/remotes`, and `POST .../remotes/NAME` to change one: the fields of an entry
 * of `replication.remotes`, as text. Null takes a field back.
 */
export type RemoteChangeDocument = Readonly<
  Record<string, string | readonly string[] | null | undefined>
>

/** `DELETE /admin/replication/remotes/NAME`. */
export interface RemovedDocument {
  readonly name: string
  /** The remote knows of it, and refuses whatever comes under the old link. */
  readonly told: boolean
  /** Why it could not be told. */
  readonly reason: string | null
}

/** `POST /admin/replication/replay`: exactly one of failed, from, since, bucket, all. */
export interface ReplayRequestDocument {
  readonly failed?: boolean
  /** Every change from this seq on, inclusive. */
  readonly from?: number
  /** Made then or later: a time in ISO 8601, or a duration before now, such as `2h`. */
  readonly since?: string
  readonly bucket?: string
  /** Of keys in the bucket. */
  readonly prefix?: string
  readonly all?: boolean
  readonly remote?: string
  readonly dry_run?: boolean
}

export interface ReplayDocument {
  readonly count: number
  readonly bytes: number
  /** The replay is through when `cursor` of each remote has reached this. */
  readonly through: number
}

/** `POST /admin/replication/role`. */
export interface RoleRequestDocument {
  readonly role: 'primary' | 'replica'
  /** Also when a check speaks against it. */
  readonly force?: boolean
  readonly dry_run?: boolean
}

export interface RoleCheck {
  readonly ok: boolean
  readonly text: string
}

export interface RoleDocument {
  /** As it is now. */
  readonly role: 'primary' | 'replica'
  readonly term: number
  /** `refused`: a check speaks against it, and it was not forced. `planned`: only looked at. */
  readonly outcome: 'changed' | 'unchanged' | 'refused' | 'planned'
  readonly checks: readonly RoleCheck[]
}

/** `GET /admin/replication/failed`. */
export interface FailedDocument {
  readonly failed: readonly FailedChange[]
}

export interface FailedChange {
  readonly remote: string
  readonly seq: number
  readonly bucket: string
  /** Null for changes that are about the bucket itself. */
  readonly key: string | null
  readonly bytes: number
  readonly reason: string
  readonly attempts: number
  /** ISO 8601. */
  readonly time: string
}

/** `GET /admin/tokens`: what the configuration accepts, never the tokens themselves. */
export interface TokensDocument {
  readonly tokens: readonly TokenDescription[]
}

export interface TokenDescription {
  readonly name: string
  readonly role: string
  /** The place in the configuration, and the file if it is in one. */
  readonly source: string
  readonly state: 'valid' | 'expired' | 'revoked'
  /** ISO 8601, as the other times; null when it never does. */
  readonly expires: string | null
  /** Since the site was started. */
  readonly last_used: string | null
  readonly revoked_at: string | null
}

/** `POST /admin/tokens/revoke`. */
export interface RevokeTokenRequest {
  readonly name: string
}

export interface RevokedTokenDocument {
  readonly name: string
  readonly revoked_at: string
  /** Valid tokens of the role admin that are left. */
  readonly admin_tokens_left: number
}

/** `GET /admin/replication/failed/{seq}`: one for each remote that refused the change. */
export interface FailedDetailsDocument {
  readonly failed: readonly FailedDetail[]
}

export interface FailedDetail extends FailedChange {
  readonly about: 'object' | 'bucket' | 'purge'
  /** What was refused: its version, and by which site and when that was made. */
  readonly version: string
  readonly version_site: string
  /** ISO 8601. */
  readonly version_time: string
  /** The object as it is here; null when it is gone, or the change is about no object. */
  readonly current: CurrentObject | null
  /** The object as the remote says that it is there; null when the change is about no object. */
  readonly there: ObjectThere | null
}

export interface ObjectThere {
  /** `purged`: nothing of it is left but that its bucket was purged. `unknown`: the remote does not say. */
  readonly state: 'object' | 'deleted' | 'purged' | 'absent' | 'unknown'
  readonly object: CurrentObject | null
  /** Of the deletion or the purge. */
  readonly version: string | null
  /** Why it is unknown. */
  readonly reason: string | null
}

export interface CurrentObject {
  readonly version: string
  readonly bytes: number
  readonly etag: string
  /** ISO 8601. */
  readonly last_modified: string
  readonly content_type: string | null
}

/** `POST /admin/replication/failed/retry` and `.../discard`: either seqs or all. */
export interface LettersRequestDocument {
  readonly seqs?: readonly number[]
  readonly all?: boolean
  readonly remote?: string
}

export interface LettersDocument {
  readonly count: number
  readonly bytes: number
}

/** `POST /admin/replication/held/release` and `.../discard`. */
export interface HeldRequestDocument {
  /** Left out for all remotes there are. */
  readonly remote?: string
}

export interface HeldDocument {
  /** Deletes and purges that were let go or given up, and the objects that they remove at most. */
  readonly deletes: number
  readonly objects: number
  /** Changes that waited to be old enough, and go now. */
  readonly delayed: number
}

/** Every error of the control plane. */
export interface ErrorDocument {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string }
}
