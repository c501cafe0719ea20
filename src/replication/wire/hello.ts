/** How a site greets another: what both ends go by. */
import type { Clock } from '../../base/clock.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { type Hello, protocolVersion } from './protocol.ts'
import type { Roles } from './standing.ts'

export interface Greeter {
  readonly identity: VolumeIdentity
  /** Where the other site may fetch from. */
  readonly advertiseUrl: string
  /** The highest seq of this site's feed. */
  readonly head: () => number
  readonly roles: Roles | undefined
  readonly clock: Clock
}

export function helloOf(
  { identity, advertiseUrl, head, roles, clock }: Greeter,
  link: Pick<Hello, 'epoch' | 'filterHash' | 'asksOnly'>,
): Hello {
  const { volumeId, incarnation, incarnationSince, siteId } = identity
  return {
    ...{ protocol: protocolVersion, volumeId, incarnation, incarnationSince, siteId, advertiseUrl },
    wallTime: Math.max(0, Math.floor(clock.now())),
    head: head(),
    standing: roles?.standing(),
    ...link,
  }
}
