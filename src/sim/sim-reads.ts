/** Reads across sites, put together as the server does it: what a site lacks, and what it has damaged. */
import type { Logger } from '../base/log.ts'
import { HealingReads } from '../replication/reads/healing-reads.ts'
import { ProxyReads } from '../replication/reads/proxy-reads.ts'
import { ReadResponder } from '../replication/reads/read-responder.ts'
import { ReadsTally } from '../replication/reads/reads-tally.ts'
import { RemoteLook } from '../replication/reads/remote-look.ts'
import type { Replicator } from '../replication/replicator.ts'
import type { Engine } from '../store/engine.ts'
import type { ObjectMender, ObjectsElsewhere } from '../store/model/elsewhere.ts'
import type { Survey } from '../store/model/survey.ts'
import type { VolumeIdentity } from '../volume/volume.ts'
import type { SimClock } from './sim-clock.ts'
import type { Trace } from './trace.ts'

export interface SimReads {
  readonly elsewhere: ObjectsElsewhere
  readonly healing: HealingReads
  /** Answers other sites. */
  readonly responder: ReadResponder
}

export interface SimReadsOptions {
  readonly engine: Engine
  /** What this site says of its own slots. */
  readonly survey: Survey
  readonly identity: VolumeIdentity
  readonly replicator: Replicator
  readonly clock: SimClock
  readonly logger: Logger
  readonly trace: Trace
}

const timeoutMs = 2000

export function createSimReads(options: SimReadsOptions): SimReads {
  const { engine, survey, identity, replicator, clock, logger, trace } = options
  const tally = new ReadsTally()
  const look = new RemoteLook({
    remotes: () => replicator.readableRemotes(),
    volumeId: identity.volumeId,
    ...{ survey, timeoutMs, clock, logger },
  })
  return {
    elsewhere: new ProxyReads({ look, tally, clock, timeoutMs }),
    healing: new HealingReads({
      look,
      mender: counted(engine.mender, trace),
      open: (name) => engine.openObject(name),
      tally,
      clock,
      logger,
    }),
    responder: new ReadResponder({ site: engine, identity }),
  }
}

function counted(mender: ObjectMender, trace: Trace): ObjectMender {
  return {
    async mend(name, version, bytes) {
      const result = await mender.mend(name, version, bytes)
      trace.count(`mend-${result}`)
      return result
    },
  }
}
