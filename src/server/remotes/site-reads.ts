/** Reads across sites: what this one lacks, and what it has with damaged bytes. */
import { systemClock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { HealingReads } from '../../replication/reads/healing-reads.ts'
import { ProxyReads } from '../../replication/reads/proxy-reads.ts'
import { ReadsTally } from '../../replication/reads/reads-tally.ts'
import { RemoteLook } from '../../replication/reads/remote-look.ts'
import type { Replicator } from '../../replication/replicator.ts'
import type { ObjectsElsewhere } from '../../store/model/elsewhere.ts'
import type { Storage } from '../storage/storage.ts'

export interface SiteReads {
  /** Undefined unless it is switched on. */
  readonly elsewhere: ObjectsElsewhere | undefined
  readonly healing: HealingReads
  readonly look: RemoteLook
  readonly tally: ReadsTally
}

export function createSiteReads(
  { replication }: ServerConfig,
  parts: {
    readonly storage: Storage
    readonly replicator: Replicator
    readonly logger: Logger
  },
): SiteReads {
  const { storage, replicator } = parts
  const { engine, volume } = storage
  const clock = systemClock
  const logger = parts.logger.child({ component: 'reads' })
  const tally = new ReadsTally()
  const timeoutMs = replication.proxyTimeoutMs
  const look = new RemoteLook({
    remotes: () => replicator.readableRemotes(),
    survey: engine.survey,
    volumeId: volume.identity.volumeId,
    ...{ timeoutMs, clock, logger },
  })
  return {
    elsewhere: replication.proxyReads
      ? new ProxyReads({ look, tally, clock, timeoutMs })
      : undefined,
    healing: new HealingReads({
      ...{ look, tally, clock, logger },
      mender: engine.mender,
      open: (name) => engine.openObject(name),
    }),
    look,
    tally,
  }
}
