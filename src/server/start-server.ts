/**
 * The composition root: configuration in, running site out. Everything that a site is made of is
 * opened here in order, each step logged, and closed in reverse; whatever fails on the way closes
 * what was open and leaves nothing behind. It promises that "listening" is said only when every
 * answered write of the past is readable again, and that closing finishes what is under way, within
 * a bound. It must never know what the planes answer.
 */
import { isIPv6 } from 'node:net'
import type { Logger } from '../base/log.ts'
import { isLoopbackHost, isWildcardHost, urlOfHost } from '../config/host-kind.ts'
import type { ServerConfig } from '../config/server-config.ts'
import { AccessControl } from './access.ts'
import { withAccessLog } from './access-log.ts'
import { UnprotectedListenerError } from './errors.ts'
import { Listener } from './listener.ts'
import { createLogger } from './logging.ts'
import { createPlanes } from './planes.ts'
import { openReplication } from './replication.ts'
import { openStorage, type Storage } from './storage.ts'
import { Teardown } from './teardown.ts'

/** How long requests under way may take to finish at shutdown. */
const closeGraceMs = 10_000

export interface RunningServer {
  /** Where this machine reaches the site. */
  readonly url: string
  /** Resolves when the site has stopped, rejects when stopping it failed. */
  readonly closed: Promise<void>
  /** Stops the site; every call waits for the same end. */
  close(): Promise<void>
}

export interface StartOptions {
  /** Stops the site as if it had been closed. */
  readonly signal: AbortSignal
  /** Takes each line of the log in place of stdout. */
  readonly writeLog?: (line: string) => void
  /** Bounds the wait for requests under way; 10 s unless told. */
  readonly graceMs?: number
}

/** @throws ComioError with a hint for whatever keeps the site from starting */
export async function startServer(
  config: ServerConfig,
  options: StartOptions,
): Promise<RunningServer> {
  const logger = openLog(config, options)
  const teardown = new Teardown(logger)
  try {
    const url = await openSite(config, { logger, teardown, graceMs: options.graceMs })
    return runningServer({ url, teardown, logger, signal: options.signal })
  } catch (error) {
    // What kept the site from starting is what its caller should hear of, and the teardown logs.
    await teardown.run().catch(() => undefined)
    throw error
  }
}

function openLog(config: ServerConfig, { writeLog }: StartOptions): Logger {
  const { auth, logging, replication } = config
  return createLogger({
    level: logging.level,
    format: logging.format,
    secrets: [
      ...auth.tokens.map(({ token }) => token),
      ...replication.acceptTokens,
      ...replication.remotes.flatMap(({ token }) => token ?? []),
    ],
    colours: writeLog === undefined && process.stdout.isTTY && process.stdout.hasColors(),
    ...(writeLog === undefined ? {} : { write: writeLog }),
  })
}

interface Opening {
  readonly logger: Logger
  readonly teardown: Teardown
  readonly graceMs: number | undefined
}

/** Resolves to the site's address. */
async function openSite(config: ServerConfig, opening: Opening): Promise<string> {
  const { logger, teardown, graceMs = closeGraceMs } = opening
  const { server, replication } = config
  const loopback = isLoopbackHost(server.host)
  assertProtected(config, loopback)
  // Bound before anything is written; until the site is ready, whoever connects is told to wait.
  const listener = await Listener.open({ host: server.host, port: server.port, logger })
  teardown.add('listener', () => listener.close(0))
  assertLoopback(listener, loopback)
  const storage = await openStorage(config, { logger, teardown })
  const { port } = listener.address
  const { replicator, remotes } = await openReplication(config, {
    storage,
    advertiseUrl: server.advertiseUrl ?? urlOfHost(server.host, port),
    logger,
  })
  let closing = false
  let replicationClosed: Promise<void> | undefined
  const closeReplication = (): Promise<void> => {
    replicationClosed ??= replicator.close()
    return replicationClosed
  }
  teardown.add('replication', closeReplication)
  const planes = await createPlanes({
    config,
    storage,
    replicator,
    remotes,
    access: new AccessControl({
      loopback,
      allowAnonymous: server.allowAnonymous,
      tokens: config.auth.tokens,
      acceptTokens: replication.acceptTokens,
    }),
    logger,
    closing: () => closing,
  })
  teardown.add('planes', () => planes.close())
  teardown.add('requests', async () => {
    closing = true
    // Together: the polls of senders wait in the listener, and the replicator ends them.
    await Promise.all([listener.close(graceMs), closeReplication()])
  })
  const isDebugging = config.logging.level === 'debug'
  listener.serve(isDebugging ? withAccessLog(planes.handle, logger) : planes.handle)
  replicator.start()
  const url = urlOfHost(reachableHost(server.host), port)
  announce({ config, storage, url, logger })
  return url
}

/** The configuration refuses this already; here it is made sure of for every caller. */
function assertProtected({ server, auth }: ServerConfig, loopback: boolean): void {
  if (loopback || auth.tokens.length > 0 || server.allowAnonymous) return
  throw new UnprotectedListenerError(
    `listening on ${server.host} without auth.tokens would let anybody in`,
    {
      hint: 'Configure auth.tokens, or open the data plane on purpose with --allow-anonymous.',
      facts: { host: server.host },
    },
  )
}

/** `localhost` is a name, and names can lead elsewhere. */
function assertLoopback(listener: Listener, loopback: boolean): void {
  const { address } = listener.address
  if (!loopback || isLoopbackHost(address)) return
  throw new UnprotectedListenerError(`localhost leads to ${address}, beyond this machine`, {
    hint: 'Set --host 127.0.0.1.',
    facts: { address },
  })
}

function reachableHost(host: string): string {
  if (!isWildcardHost(host)) return host
  return isIPv6(host.replace(/^\[|\]$/g, '')) ? '::1' : '127.0.0.1'
}

function announce(site: {
  readonly config: ServerConfig
  readonly storage: Storage
  readonly url: string
  readonly logger: Logger
}): void {
  const { config, storage, url, logger } = site
  const { server, replication } = config
  if (server.allowAnonymous && !isLoopbackHost(server.host)) {
    logger.warn({ host: server.host }, 'Whoever reaches this port can read and write all objects')
  }
  const { identity } = storage.volume
  logger.info(
    {
      url,
      host: server.host,
      site_id: identity.siteId,
      volume_id: identity.volumeId,
      storage: server.storagePath,
      head: storage.engine.feed.head(),
      remote: replication.enabled ? replication.remotes[0]?.urls[0] : undefined,
      remotes: storage.engine.remotes.list().map(({ name }) => name),
      accepts_replication: replication.acceptTokens.length > 0,
    },
    'listening',
  )
}

function runningServer(parts: {
  readonly url: string
  readonly teardown: Teardown
  readonly logger: Logger
  readonly signal: AbortSignal
}): RunningServer {
  const { url, teardown, logger, signal } = parts
  const { promise: closed, resolve, reject } = Promise.withResolvers<void>()
  // Whoever wants to know looks at it; nobody has to.
  closed.catch(() => undefined)
  let asked = false
  const stop = async (): Promise<void> => {
    logger.info({}, 'Shutting down')
    await teardown.run()
    logger.info({}, 'Stopped')
  }
  const close = (): Promise<void> => {
    if (!asked) {
      asked = true
      signal.removeEventListener('abort', onAbort)
      stop().then(resolve, reject)
    }
    return closed
  }
  const onAbort = (): void => {
    void close()
  }
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return { url, closed, close }
}
