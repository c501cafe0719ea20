/** Replication of a site: the remotes it ships to, and the endpoints where others ship to it. */
import { systemClock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { systemRandom } from '../../base/random.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { createHttpBlobTransport } from '../../replication/http/http-blob-transport.ts'
import type { ClientTlsSource } from '../../replication/http/tls-connector.ts'
import { defaultReplicationOptions, type ReplicationOptions } from '../../replication/options.ts'
import { createReplicator, type Replicator } from '../../replication/replicator.ts'
import type { Roles } from '../../replication/wire/standing.ts'
import type { RemoteCertificates } from '../credentials/remote-certificates.ts'
import type { RemoteTokens } from '../credentials/remote-token.ts'
import type { Storage } from '../storage/storage.ts'
import { Remotes } from './remotes.ts'

export interface Replication {
  readonly replicator: Replicator
  readonly remotes: Remotes
}

export interface ReplicationInputs {
  readonly storage: Storage
  readonly advertiseUrl: string
  readonly roles: Roles
  readonly remoteTokens: RemoteTokens
  readonly clientTls: ClientTlsSource
  readonly certificates: RemoteCertificates
  readonly logger: Logger
}

/** Ships nothing before it is started. */
export async function openReplication(
  config: ServerConfig,
  inputs: ReplicationInputs,
): Promise<Replication> {
  const { storage, advertiseUrl, roles, logger, clientTls, certificates, remoteTokens } = inputs
  const { engine, volume } = storage
  const { identity } = volume
  const remotes = await Remotes.open({
    ...{ config, identity, logger, certificates, remoteTokens },
    registry: engine.remotes,
  })
  const replicator = createReplicator({
    feed: engine.feed,
    holdings: engine.holdings,
    sink: engine,
    site: engine,
    identity,
    remotes: remotes.definitions(),
    linked: () => remotes.ledgers(),
    advertiseUrl,
    blobTransport: createHttpBlobTransport({
      compression: config.replication.compression,
      tls: clientTls,
    }),
    options: optionsOf(config),
    takesCompressed: config.replication.compression !== 'off',
    verifyIntervalMs: config.replication.verifyIntervalMs ?? 0,
    roles,
    sync: { timeoutMs: config.replication.syncTimeoutMs, min: config.replication.syncMin },
    clock: systemClock,
    random: systemRandom,
    logger,
  })
  remotes.attach(replicator)
  return { replicator, remotes }
}

function optionsOf({ replication }: ServerConfig): ReplicationOptions {
  return {
    heartbeatMs: defaultReplicationOptions.heartbeatMs,
    batchSize: replication.batchSize,
    batchIntervalMs: replication.batchIntervalMs,
    batchBytes: replication.batchBytes,
    retryAttempts: replication.retryAttempts,
    retryDelayMs: replication.retryDelayMs,
    stallAfterMs: replication.stallAfterMs,
    workers: replication.workers,
    queueSize: replication.queueSize,
    inlineLimit: replication.inlineLimit,
    transfer: replication.transfer,
    rangeBytes: defaultReplicationOptions.rangeBytes,
    abandonedAfterMs: defaultReplicationOptions.abandonedAfterMs,
    maxDeleteCount: replication.maxDeleteCount,
    maxDeletePercent: replication.maxDeletePercent,
    deleteWindowMs: replication.deleteWindowMs,
    applyDelayMs: replication.applyDelayMs,
    maxClockSkewMs: replication.maxClockSkewMs,
  }
}
