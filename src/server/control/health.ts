/**
 * Whether a site is well. Health is open to everybody, so a reason says what is wrong and since
 * when, but names no address, no path, no object, and repeats nothing that a remote said.
 */
import type { HealthReport } from '../../admin/ports.ts'
import type { RemoteStatus, RoleStatus, SyncStatus } from '../../admin/protocol.ts'

export interface HealthInputs {
  /** Why the store answers no reads; undefined while it does. */
  readonly storeFailure?: string | undefined
  /** What the store itself says is wrong: full, read-only. */
  readonly storeReasons?: readonly string[]
  readonly remotes?: readonly RemoteStatus[]
  /** What is wrong, or soon will be, with tokens and certificates. */
  readonly credentials?: readonly string[]
  /** The site is on its way down. */
  readonly closing?: boolean
  readonly role?: RoleStatus['role']
  readonly sync?: SyncStatus | null
}

export function reportHealth(inputs: HealthInputs): HealthReport {
  const { storeFailure, storeReasons = [], remotes = [] } = inputs
  const closing = inputs.closing ?? false
  const reasons = [
    ...(closing ? ['the site is shutting down'] : []),
    ...(storeFailure === undefined ? [] : [storeFailure]),
    ...storeReasons,
    ...remotes.flatMap(linkReason),
    ...remotes.flatMap(stallReason),
    ...remotes.flatMap(letterReason),
    ...remotes.flatMap(heldReason),
    ...syncReason(inputs.sync ?? null),
    ...(inputs.credentials ?? []),
  ]
  return {
    serving: storeFailure === undefined && !closing,
    document: {
      status: reasons.length === 0 ? 'ok' : 'degraded',
      reasons,
      ...(inputs.role === undefined ? {} : { role: inputs.role }),
    },
  }
}

function syncReason(sync: SyncStatus | null): readonly string[] {
  if (sync === null || sync.degraded_since === null) return []
  return [`sync mode: since ${sync.degraded_since} there are writes that no remote has confirmed`]
}

function linkReason(remote: RemoteStatus): readonly string[] {
  if (remote.state === 'unreachable') {
    return [`remote ${remote.name} is unreachable since ${remote.state_since}`]
  }
  if (remote.state === 'refused') {
    // The remote's own words stay in the status, which asks for a token.
    const skew = /clock|skew/i.test(remote.last_error ?? '') ? ' for the difference of clocks' : ''
    return [`remote ${remote.name} refuses replication${skew} since ${remote.state_since}`]
  }
  if (remote.state === 'full') {
    return [`remote ${remote.name} has no room since ${remote.state_since}: changes wait`]
  }
  if (remote.state === 'failing') {
    return [`replication to remote ${remote.name} fails at this site since ${remote.state_since}`]
  }
  return []
}

function stallReason({ name, stalled_since }: RemoteStatus): readonly string[] {
  if (stalled_since === null) return []
  return [
    `replication to remote ${name} is stalled: nothing was acknowledged since ${stalled_since}`,
  ]
}

function letterReason({ name, dead_letters }: RemoteStatus): readonly string[] {
  if (dead_letters === 0) return []
  return [`some changes could not be replicated to remote ${name}: see comio repl failed list`]
}

function heldReason({ name, held_deletes }: RemoteStatus): readonly string[] {
  if (held_deletes === 0) return []
  return [
    `more was deleted than the limits of remote ${name} allow: deletes are held until comio repl release or discard`,
  ]
}
