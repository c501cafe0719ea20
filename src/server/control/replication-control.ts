/**
 * Replication as the control plane sees it: the ledgers, which are there whenever a remote was ever
 * configured, and the links, which run while replication is enabled.
 */
import type { ReplayOrder, ReplicationControl } from '../../admin/ports.ts'
import type {
  HeldDocument,
  RemoteStatus,
  ReplayDocument,
  ReplicationStatusDocument,
  RoleStatus,
  SyncStatus,
} from '../../admin/protocol.ts'
import type { VerifySummary } from '../../admin/verify-protocol.ts'
import type { Clock } from '../../base/clock.ts'
import { isoTime } from '../../base/iso-time.ts'
import type { SyncFigures } from '../../replication/client-store.ts'
import type { RemoteLook } from '../../replication/reads/remote-look.ts'
import type { LinkStatus } from '../../replication/send/link.ts'
import type {
  ChangeFeed,
  ObjectStore,
  RemoteLedger,
  ReplayScope,
} from '../../store/model/object-store.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import type { Remotes } from '../remotes/remotes.ts'
import {
  chosenLedgers,
  discardLetters,
  failedDetails,
  failedDocument,
  retryLetters,
} from './dead-letters.ts'

export interface ReplicationControlOptions {
  /** Whether anything is shipped anywhere. */
  readonly enabled: () => boolean
  readonly identity: VolumeIdentity
  readonly feed: Pick<ChangeFeed, 'head'>
  readonly store: Pick<ObjectStore, 'headObject'>
  /** Asks a remote what it holds. */
  readonly look: Pick<RemoteLook, 'at'>
  /** Every remote that this volume keeps a position for. */
  readonly ledgers: () => readonly RemoteLedger[]
  /** The links that run; none while replication is disabled. */
  readonly links: () => Promise<readonly LinkStatus[]>
  /** What is known of a remote that nothing is sent to now. */
  readonly remotes: Pick<Remotes, 'applyDelayOf' | 'isPaused' | 'pausedSince' | 'sentTo' | 'urlOf'>
  /** The last comparison with a remote. */
  readonly verified: (remote: string) => VerifySummary | null
  readonly role: () => RoleStatus
  /** Undefined in mode async. */
  readonly sync: () => SyncFigures | undefined
  readonly changeRole: ReplicationControl['changeRole']
  readonly clock: Clock
}

export function createReplicationControl(options: ReplicationControlOptions): ReplicationControl {
  const startedAt = options.clock.now()
  const { ledgers } = options
  return {
    status: async () => statusDocument(options, await remoteStatuses(options, startedAt)),
    failed: () => failedDocument(ledgers()),
    failedAt: async (seq, remote) => failedDetails(seq, chosenLedgers(ledgers(), remote), options),
    retry: (order) => retryLetters(chosenLedgers(ledgers(), order.remote), order),
    discard: (order) => discardLetters(chosenLedgers(ledgers(), order.remote), order),
    replay: (order) => replay(options, order),
    decide: (verb, remote) => decide(options, { verb, remote }),
    changeRole: options.changeRole,
  }
}

async function remoteStatuses(
  options: ReplicationControlOptions,
  startedAt: number,
): Promise<readonly RemoteStatus[]> {
  const links = new Map((await options.links()).map((link) => [link.name, link]))
  const statuses: RemoteStatus[] = []
  for (const ledger of options.ledgers()) {
    const link = links.get(ledger.remote) ?? (await idleLink(options, ledger, startedAt))
    const delayMs = options.remotes.applyDelayOf(link.name)
    statuses.push(remoteStatus(link, { delayMs, verify: options.verified(link.name) }))
  }
  return statuses
}

type LinkFigures = Omit<LinkStatus, 'state'> & { readonly state: RemoteStatus['state'] }

/** What can be said of a remote that nothing is sent to. */
async function idleLink(
  { feed, remotes }: ReplicationControlOptions,
  ledger: RemoteLedger,
  startedAt: number,
): Promise<LinkFigures> {
  const oldestPending = await ledger.oldestPending()
  return {
    name: ledger.remote,
    url: remotes.urlOf(ledger.remote),
    state: remotes.isPaused(ledger.remote) ? 'paused' : 'disabled',
    stateSince: remotes.pausedSince(ledger.remote) ?? startedAt,
    cursor: ledger.position().low,
    head: feed.head(),
    counters: ledger.counters(),
    oldestPending,
    delayed: undefined,
    inFlight: 0,
    pulling: 0,
    rate: 0,
    ...remotes.sentTo(ledger.remote),
    lagP50Ms: null,
    lagP99Ms: null,
    lastError: undefined,
    lastErrorAt: undefined,
    restarts: 0,
    stalledSince: undefined,
  }
}

function remoteStatus(
  link: LinkFigures,
  { delayMs, verify }: { readonly delayMs: number; readonly verify: VerifySummary | null },
): RemoteStatus {
  const { counters } = link
  return {
    name: link.name,
    url: link.url,
    state: link.state,
    state_since: isoTime(link.stateSince),
    cursor: link.cursor,
    head: link.head,
    pending_events: counters.pending,
    pending_bytes: counters.pendingBytes,
    // Looked up a moment before the counters, by which time the last one may have been settled.
    oldest_pending: counters.pending === 0 ? null : maybeTime(link.oldestPending),
    in_flight: link.inFlight,
    pulling: link.pulling,
    rate: Math.round(link.rate * 10) / 10,
    wire_bytes: link.wireBytes,
    saved_bytes: link.savedBytes,
    lag_p50_ms: link.lagP50Ms,
    lag_p99_ms: link.lagP99Ms,
    events_queued: counters.queued,
    events_replicated: counters.replicated,
    events_failed: counters.failed,
    events_superseded: counters.superseded,
    remote_superseded: counters.remoteSuperseded,
    remote_conflicts: counters.remoteConflicts,
    dead_letters: counters.openLetters,
    replaying: counters.replaying,
    held_deletes: counters.held,
    held_objects: counters.heldObjects,
    apply_delay_seconds: delayMs / 1000,
    delayed_events: link.delayed?.count ?? 0,
    delayed_until: maybeTime(link.delayed?.until),
    stalled_since: maybeTime(link.stalledSince),
    last_replication: maybeTime(counters.lastReplication),
    last_error: link.lastError ?? null,
    last_error_at: maybeTime(link.lastErrorAt),
    verify,
  }
}

/** Sums over the remotes, of the very figures that stand beside them: the books balance. */
function statusDocument(
  { enabled, identity, role, sync, clock }: ReplicationControlOptions,
  remotes: readonly RemoteStatus[],
): ReplicationStatusDocument {
  const sum = (figure: (remote: RemoteStatus) => number): number =>
    remotes.reduce((total, remote) => total + figure(remote), 0)
  const oldest = remotes.flatMap((remote) => remote.oldest_pending ?? []).sort()[0]
  const latest = remotes.flatMap((remote) => remote.last_replication ?? []).sort()
  const ageMs = oldest === undefined ? 0 : Math.max(0, clock.now() - Date.parse(oldest))
  return {
    enabled: enabled(),
    events_queued: sum((remote) => remote.events_queued),
    events_replicated: sum((remote) => remote.events_replicated),
    events_failed: sum((remote) => remote.events_failed),
    events_superseded: sum((remote) => remote.events_superseded),
    pending: sum((remote) => remote.pending_events),
    lag_seconds: ageMs / 1000,
    last_replication: latest.at(-1) ?? null,
    site_id: identity.siteId,
    volume_id: identity.volumeId,
    role: role(),
    sync: syncStatus(sync()),
    remotes,
  }
}

function syncStatus(figures: SyncFigures | undefined): SyncStatus | null {
  if (figures === undefined) return null
  const { waiting, confirmed, timedOut, fallbacks, degradedSince } = figures
  const degraded = maybeTime(degradedSince)
  return { waiting, confirmed, timed_out: timedOut, fallbacks, degraded_since: degraded }
}

async function replay(
  { ledgers, feed, clock }: ReplicationControlOptions,
  { what, remote, dryRun }: ReplayOrder,
): Promise<ReplayDocument> {
  const scope = scopeOf(what, clock.now())
  // Whatever is selected lies at or below: once a remote is done up to here, so is the replay.
  const through = feed.head()
  let count = 0
  let bytes = 0
  for (const ledger of chosenLedgers(ledgers(), remote)) {
    const replayed = await ledger.replay(scope, { dryRun })
    count += replayed.count
    bytes += replayed.bytes
  }
  return { count, bytes, through }
}

/** What has to be old enough can be given up only as far as it deletes. */
async function decide(
  { ledgers, links, remotes }: ReplicationControlOptions,
  order: { readonly verb: 'release' | 'discard'; readonly remote: string | undefined },
): Promise<HeldDocument> {
  const { verb, remote } = order
  const waiting = new Map((await links()).map(({ name, delayed }) => [name, delayed?.count ?? 0]))
  let deletes = 0
  let objects = 0
  let delayed = 0
  for (const ledger of chosenLedgers(ledgers(), remote)) {
    const ahead = remotes.applyDelayOf(ledger.remote) > 0
    const decided = await (verb === 'release' ? ledger.release() : ledger.discardHeld({ ahead }))
    deletes += decided.count
    objects += decided.objects
    if (verb === 'release') delayed += waiting.get(ledger.remote) ?? 0
  }
  return { deletes, objects, delayed }
}

function scopeOf(what: ReplayOrder['what'], now: number): ReplayScope {
  if (what === 'failed') return { from: 'failed' }
  // The order names the first seq to send, the ledger the last one to leave.
  if ('from' in what) return { from: Math.max(0, what.from - 1) }
  if ('bucket' in what) {
    const { bucket, prefix } = what
    return { select: prefix === undefined ? { bucket } : { bucket, prefix } }
  }
  const { since } = what
  return { select: { since: Math.max(0, 'at' in since ? since.at : now - since.agoMs) } }
}

function maybeTime(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : isoTime(ms)
}
