/**
 * Where to send from, decided from what both ends know after a handshake (design, replication
 * rule 4): from this site's own position, or from the start when one of the two is somebody else now,
 * does not remember the other, or was set back to an older copy of itself. Sending again is always
 * safe, since applying is idempotent.
 */

import type { ConfirmedPeer } from '../../store/model/object-store.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { ProtocolMismatchError, SelfReplicationError, SiteIdTakenError } from '../wire/errors.ts'
import { type HelloAnswer, protocolVersion } from '../wire/protocol.ts'

export interface Standing {
  readonly own: VolumeIdentity
  /** What this site durably knows to be done, or told this remote since it was started. */
  readonly low: number
  readonly answer: HelloAnswer
  /** What the peer of this remote last confirmed; undefined when none ever has. */
  readonly confirmed: ConfirmedPeer | undefined
}

export type StartPlan =
  | { readonly kind: 'continue' }
  | {
      /** From the start. */
      readonly kind: 'replay'
      /** For the log: why, in words. */
      readonly reason: string
      /** True when it was this site that was set back. */
      readonly rolledBack: boolean
    }

/** @throws ProtocolMismatchError, SelfReplicationError, SiteIdTakenError */
export function planStart(standing: Standing): StartPlan {
  refuseWrongPeer(standing)
  const { own, low, answer, confirmed } = standing
  if (confirmed !== undefined && confirmed.volumeId !== answer.volumeId) {
    return replay('another volume answers')
  }
  if (confirmed !== undefined && confirmed.incarnation !== answer.incarnation) {
    return replay('the volume there was restored or made anew')
  }
  const mark = answer.applied?.incarnation === own.incarnation ? answer.applied : null
  const known = Math.max(low, confirmed?.through ?? 0)
  if (mark !== null && mark.through > known) {
    const reason = `the remote remembers this site to be done up to ${mark.through}, this site up to ${known}`
    return { kind: 'replay', reason, rolledBack: true }
  }
  if (confirmed === undefined) return { kind: 'continue' }
  if (mark === null) return replay('the remote does not remember this site')
  if (answer.head < confirmed.head) {
    return replay(
      `the remote was set back: its feed ended at ${confirmed.head}, and ends at ${answer.head} now`,
    )
  }
  if (mark.through < confirmed.through) {
    return replay(
      `the remote was set back: it remembered ${confirmed.through}, and remembers ${mark.through} now`,
    )
  }
  return { kind: 'continue' }
}

function replay(reason: string): StartPlan {
  return { kind: 'replay', reason, rolledBack: false }
}

function refuseWrongPeer({ own, answer }: Standing): void {
  if (answer.protocol !== protocolVersion) {
    throw new ProtocolMismatchError(
      `the remote speaks replication protocol ${answer.protocol}, this site ${protocolVersion}`,
      { hint: 'Run the same version of ComIO at both sites.' },
    )
  }
  if (answer.volumeId === own.volumeId) {
    throw new SelfReplicationError('the remote is this very site: it has the same volume id', {
      hint: 'Point replication.remote_url at the other site.',
    })
  }
  if (answer.siteId === own.siteId) {
    throw new SiteIdTakenError(`the remote has this site's id, ${own.siteId}, on another volume`, {
      hint: 'Give one of the two another --site-id.',
    })
  }
}
