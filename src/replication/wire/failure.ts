/** What a failed exchange says: about the remote, or about what was in the batch. */
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import {
  PlaintextRefusedError,
  ProtocolMismatchError,
  RemoteProtocolError,
  RemoteRefusedError,
  RemoteTwiceError,
  SelfReplicationError,
  SiteIdTakenError,
} from './errors.ts'

export type Failure =
  /** Away, or not able to. */
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** It says no, to everything. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It says that it has no room. */
  | { readonly kind: 'full'; readonly reason: string }
  /** It does not know this sender (any more). */
  | { readonly kind: 'handshake'; readonly reason: string }
  /** Something in the batch; `blamesRemote` when it may as well be the remote that is sick. */
  | { readonly kind: 'content'; readonly reason: string; readonly blamesRemote: boolean }

/** Judges what a batch or a completions query failed with. */
export function judgeFailure(thrown: unknown): Failure {
  rethrowAssertion(thrown)
  const reason = messageOf(thrown)
  if (thrown instanceof RemoteRefusedError) return judgeStatus(thrown.status, reason)
  const saysNo =
    thrown instanceof PlaintextRefusedError ||
    thrown instanceof RemoteProtocolError ||
    thrown instanceof ProtocolMismatchError ||
    thrown instanceof RemoteTwiceError ||
    thrown instanceof SelfReplicationError ||
    thrown instanceof SiteIdTakenError
  return { kind: saysNo ? 'refused' : 'unreachable', reason }
}

function judgeStatus(status: number, reason: string): Failure {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return { kind: 'content', reason, blamesRemote: false }
    case 500:
      return { kind: 'content', reason, blamesRemote: true }
    case 409:
      return { kind: 'handshake', reason }
    case 408:
    case 425:
    case 429:
      return { kind: 'unreachable', reason }
    case 507:
      return { kind: 'full', reason }
    default:
      return { kind: status >= 500 ? 'unreachable' : 'refused', reason }
  }
}
