/** Replication of a site: the remote it ships to, if any, and the endpoints where others ship to it. */
import { systemClock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import type { ServerConfig } from '../config/server-config.ts'
import { createHttpBlobTransport } from '../replication/http-blob-transport.ts'
import { createHttpTransport } from '../replication/http-transport.ts'
import { defaultReplicationOptions, type ReplicationOptions } from '../replication/options.ts'
import {
  createReplicator,
  type RemoteDefinition,
  type Replicator,
} from '../replication/replicator.ts'
import type { Storage } from './storage.ts'

/** What a single remote is called, in the ledger and everywhere else. */
const remoteName = 'default'

/** Ships nothing before it is started. */
export async function openReplication(
  config: ServerConfig,
  inputs: { readonly storage: Storage; readonly advertiseUrl: string; readonly logger: Logger },
): Promise<Replicator> {
  const { storage, advertiseUrl, logger } = inputs
  const { engine, volume } = storage
  return createReplicator({
    feed: engine.feed,
    sink: engine,
    identity: volume.identity,
    remotes: await remotesOf(config, storage),
    advertiseUrl,
    blobTransport: createHttpBlobTransport(),
    options: optionsOf(config),
    clock: systemClock,
    random: systemRandom,
    logger,
  })
}

async function remotesOf(
  { replication }: ServerConfig,
  { engine }: Storage,
): Promise<readonly RemoteDefinition[]> {
  const { enabled, remoteUrl, remoteToken, workers, allowPlaintext } = replication
  if (!enabled || remoteUrl === undefined) return []
  const transport = createHttpTransport({
    url: remoteUrl,
    token: remoteToken ?? '',
    workers,
    // Without a token there is nothing that could be read on the way.
    allowPlaintext: allowPlaintext || remoteToken === undefined,
  })
  return [{ name: remoteName, url: remoteUrl, transport, ledger: await engine.ledger(remoteName) }]
}

function optionsOf({ replication }: ServerConfig): ReplicationOptions {
  return {
    heartbeatMs: defaultReplicationOptions.heartbeatMs,
    batchSize: replication.batchSize,
    batchIntervalMs: replication.batchIntervalMs,
    batchBytes: replication.batchBytes,
    retryAttempts: replication.retryAttempts,
    retryDelayMs: replication.retryDelayMs,
    workers: replication.workers,
    queueSize: replication.queueSize,
    inlineLimit: replication.inlineLimit,
    maxClockSkewMs: replication.maxClockSkewMs,
  }
}
