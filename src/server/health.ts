/**
 * Whether a site is well. Health is open to everybody, so a reason says what is wrong and since
 * when, but names no address, no path, no object, and repeats nothing that a remote said.
 */
import type { HealthReport } from '../admin/ports.ts'
import type { RemoteStatus } from '../admin/protocol.ts'

export interface HealthInputs {
  /** Why the store answers no reads; undefined while it does. */
  readonly storeFailure?: string | undefined
  /** What the store itself says is wrong: full, read-only. */
  readonly storeReasons?: readonly string[]
  readonly remotes?: readonly RemoteStatus[]
  /** The remotes with dead letters that wait for somebody. */
  readonly deadLetters?: readonly string[]
  /** What is wrong, or soon will be, with tokens and certificates. */
  readonly credentials?: readonly string[]
  /** The site is on its way down. */
  readonly closing?: boolean
}

export function reportHealth(inputs: HealthInputs): HealthReport {
  const { storeFailure, storeReasons = [], remotes = [], deadLetters = [] } = inputs
  const closing = inputs.closing ?? false
  const reasons = [
    ...(closing ? ['the site is shutting down'] : []),
    ...(storeFailure === undefined ? [] : [storeFailure]),
    ...storeReasons,
    ...remotes.flatMap(linkReason),
    ...deadLetters.map(
      (remote) =>
        `some changes could not be replicated to remote ${remote}: see comio repl failed list`,
    ),
    ...(inputs.credentials ?? []),
  ]
  return {
    serving: storeFailure === undefined && !closing,
    document: { status: reasons.length === 0 ? 'ok' : 'degraded', reasons },
  }
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
  if (remote.state === 'failing') {
    return [`replication to remote ${remote.name} fails at this site since ${remote.state_since}`]
  }
  return []
}
