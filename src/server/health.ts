/**
 * Whether a site is well. Health is open to everybody, so a reason says what is wrong and since
 * when, but names no address, no path, no object, and repeats nothing that a remote said.
 */
import type { HealthReport } from '../admin/ports.ts'
import type { RemoteStatus } from '../admin/protocol.ts'

export interface HealthInputs {
  /** Undefined while the store answers reads; else why it does not. */
  readonly storeFailure: string | undefined
  /** Undefined while writes are accepted; else why they are not. */
  readonly writeRefusal: string | undefined
  readonly remotes: readonly RemoteStatus[]
  /** Dead letters that wait for somebody, by remote; only those that have any. */
  readonly deadLetters: ReadonlyMap<string, number>
  /** The site is on its way down. */
  readonly closing: boolean
}

export function reportHealth(inputs: HealthInputs): HealthReport {
  const reasons = [
    ...(inputs.closing ? ['the site is shutting down'] : []),
    ...(inputs.storeFailure === undefined ? [] : [inputs.storeFailure]),
    ...(inputs.writeRefusal === undefined ? [] : [inputs.writeRefusal]),
    ...inputs.remotes.flatMap(linkReason),
    ...[...inputs.deadLetters].map(([remote, count]) => deadLetterReason(remote, count)),
  ]
  return {
    serving: inputs.storeFailure === undefined && !inputs.closing,
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
  return []
}

function deadLetterReason(remote: string, count: number): string {
  const changes = count === 1 ? '1 change' : `${count} changes`
  return `${changes} could not be replicated to remote ${remote}: see comio repl failed list`
}
