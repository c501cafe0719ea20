/**
 * Where to send from, decided from what both ends know after a handshake (design, replication
 * rule 4): the lower of both positions, and from the start when either is unknown, was rolled back
 * or is somebody else now. Sending again is always safe, since applying is idempotent.
 */

import type { ConfirmedPeer } from '../store/object-store.ts'
import type { VolumeIdentity } from '../volume/volume.ts'
import { ProtocolMismatchError, SelfReplicationError, SiteIdTakenError } from './errors.ts'
import { type HelloAnswer, protocolVersion } from './protocol.ts'

export interface Standing {
  readonly own: VolumeIdentity
  /** The highest seq of our feed. */
  readonly head: number
  readonly answer: HelloAnswer
  /** What the peer of this remote last confirmed; undefined when none ever has. */
  readonly confirmed: ConfirmedPeer | undefined
}

export type StartPlan =
  | { readonly kind: 'continue' }
  | {
      readonly kind: 'replay'
      readonly from: number
      /** For the log: why, in words. */
      readonly reason: string
      /** True when it was this site that lost its memory. */
      readonly rolledBack: boolean
    }

/** @throws ProtocolMismatchError, SelfReplicationError, SiteIdTakenError */
export function planStart(standing: Standing): StartPlan {
  refuseWrongPeer(standing)
  const { own, head, answer, confirmed } = standing
  const mark = answer.applied?.incarnation === own.incarnation ? answer.applied : null
  if (mark !== null && mark.through > head) {
    const reason = `the remote has confirmed changes up to ${mark.through}, this site ends at ${head}`
    return { kind: 'replay', from: 0, reason, rolledBack: true }
  }
  if (confirmed === undefined) return { kind: 'continue' }
  if (confirmed.volumeId !== answer.volumeId) return replay(0, 'another volume answers')
  if (confirmed.incarnation !== answer.incarnation) {
    return replay(0, 'the volume there was restored or made anew')
  }
  if (mark === null) return replay(0, 'the remote does not remember this site')
  if (mark.through < confirmed.through) {
    return replay(mark.through, `the remote fell back from ${confirmed.through} to ${mark.through}`)
  }
  return { kind: 'continue' }
}

function replay(from: number, reason: string): StartPlan {
  return { kind: 'replay', from, reason, rolledBack: false }
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
