/** Starts the HTTP threads of a site and ties them to what they read, and to what they must hear of. */
import { availableParallelism } from 'node:os'
import { systemClock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { Teardown } from '../../base/teardown.ts'
import { isLoopbackHost } from '../../config/host-kind.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import type { ObjectStore } from '../../store/model/object-store.ts'
import type { AccessControl } from '../credentials/access.ts'
import type { RevokedTokens } from '../credentials/revoked-tokens.ts'
import type { HttpThreadError } from '../errors.ts'
import { connectionsMaxOf, type RequestHandler } from '../listener/listener.ts'
import type { TlsMaterial } from '../listener/tls-listener.ts'
import type { OperationFigures } from '../metrics/request-tally.ts'
import type { Storage } from '../storage/storage.ts'
import { EngineSocket } from './engine-socket.ts'
import type { HttpThreads } from './http-threads.ts'

/** Beyond it the engine's thread is what a site waits for. */
const threadsMaxDefault = 8

/** How many threads take connections, the engine's own among them. */
export function threadCountOf({ server }: ServerConfig): number {
  if (server.threads !== undefined) return server.threads
  // Elsewhere the system does not divide connections between threads.
  const cores = process.platform === 'linux' ? availableParallelism() : 1
  return Math.min(threadsMaxDefault, Math.max(1, cores - 1))
}

export interface OpenThreadsOptions {
  /** Not started yet. */
  readonly threads: HttpThreads
  readonly teardown: Teardown
  readonly storage: Storage
  readonly store: Pick<ObjectStore, 'putObject'>
  /** Where the engine's thread listens. */
  readonly address: { readonly host: string; readonly port: number }
  /** As they are in that moment; undefined without TLS. */
  readonly certificates: () => TlsMaterial | undefined
  readonly access: AccessControl
  readonly revoked: RevokedTokens
  /** Answers everything. */
  readonly handle: RequestHandler
  readonly onCounted: (operations: readonly OperationFigures[]) => void
  /** The site cannot go on. */
  readonly onFailed: (error: HttpThreadError) => void
  readonly logger: Logger
}

/** Does nothing where the engine's thread is the only one. @throws ListenFailedError, HttpThreadError */
export async function openThreads(
  config: ServerConfig,
  options: OpenThreadsOptions,
): Promise<void> {
  const { threads, storage, teardown, address, certificates, logger, ...given } = options
  const count = threadCountOf(config) - 1
  if (count === 0) return
  const { indexPath, volume } = storage
  const { server, logging } = config
  const socket = await EngineSocket.open(volume.identity.volumeId, logger)
  teardown.add('engine socket', () => socket.close())
  socket.serve(options.handle)
  const { tls } = server
  const shown = certificates()
  teardown.add('http threads', () => threads.close(0))
  await threads.start({
    ...{ ...given, count, volume, indexPath, logger },
    listen: {
      address: { ...address, shared: 'further' },
      limits: { connectionsMax: connectionsMaxOf(count + 1) },
      tls:
        tls === undefined || shown === undefined
          ? undefined
          : { ...shown, clientAuth: tls.clientAuth, minVersion: tls.minVersion },
    },
    engineSocket: socket.path,
    rules: {
      loopback: isLoopbackHost(server.host),
      allowAnonymous: server.allowAnonymous,
      scheme: tls === undefined ? 'http' : 'https',
    },
    autoCreateBuckets: server.autoCreateBuckets,
    answers: logging.level !== 'debug',
    clock: systemClock,
  })
  // They may have been renewed while the threads were starting.
  const renewed = certificates()
  if (renewed !== undefined && renewed !== shown) threads.renewTls(renewed)
}
