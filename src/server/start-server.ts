/**
 * The composition root: configuration in, running site out. Everything that a site is made of is
 * opened here in order, each step logged, and closed in reverse; whatever fails on the way closes
 * what was open and leaves nothing behind. It promises that "listening" is said only when every
 * answered write of the past is readable again, and that closing finishes what is under way, within
 * a bound. It must never know what the planes answer.
 */
import { isIPv6 } from 'node:net'
import { systemClock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { Teardown } from '../base/teardown.ts'
import { isLoopbackHost, isWildcardHost, urlOfHost } from '../config/host-kind.ts'
import type { ServerConfig } from '../config/server-config.ts'
import type { SmallFiles } from '../device/small-files.ts'
import { AccessControl } from './credentials/access.ts'
import {
  type Certificates,
  Reloading,
  readCertificates,
  secretsOf,
} from './credentials/reloading.ts'
import { RemoteCertificates } from './credentials/remote-certificates.ts'
import { RemoteTokens } from './credentials/remote-token.ts'
import { RevokedTokens } from './credentials/revoked-tokens.ts'
import { SiteTokens } from './credentials/token-control.ts'
import { UnprotectedListenerError } from './errors.ts'
import { withAccessLog } from './listener/access-log.ts'
import { connectionsMaxOf, Listener, type RequestHandler } from './listener/listener.ts'
import { createLogger } from './logging/logging.ts'
import { createPlanes } from './planes.ts'
import { openReplication } from './remotes/replication.ts'
import { RoleKeeper } from './roles/role-keeper.ts'
import { openStorage, type Storage } from './storage/storage.ts'
import { HttpThreads } from './threads/http-threads.ts'
import { openThreads, threadCountOf } from './threads/open-threads.ts'

/** How long requests under way may take to finish at shutdown. */
const closeGraceMs = 10_000
/** How long a primary that was started again waits to hear whether it was replaced. */
const firstWordMs = 5000

export interface RunningServer {
  /** Where this machine reaches the site. */
  readonly url: string
  /** Resolves when the site has stopped, rejects when that failed, or when it had to stop. */
  readonly closed: Promise<void>
  /** Takes over tokens and certificates as they are configured now; the log says what became of it. */
  reload(): Promise<void>
  /** Stops the site; every call waits for the same end. */
  close(): Promise<void>
}

export interface StartOptions {
  /** Stops the site as if it had been closed. */
  readonly signal: AbortSignal
  /** Takes each line of the log in place of stdout. */
  readonly writeLog?: (line: string) => void
  /** Reads the configuration again, for {@link RunningServer.reload}. */
  readonly load?: (() => Promise<ServerConfig>) | undefined
  /** Overwrites what else is at the storage path; never a volume. */
  readonly forceFormat?: boolean | undefined
  /** Bounds the wait for requests under way; 10 s unless told. */
  readonly graceMs?: number
}

/** @throws ComioError with a hint for whatever keeps the site from starting */
export async function startServer(
  config: ServerConfig,
  options: StartOptions,
): Promise<RunningServer> {
  const secrets = [...secretsOf(config)]
  const logger = openLog(config, secrets, options)
  const teardown = new Teardown(logger)
  const hide = (more: readonly string[]): void => {
    secrets.push(...more.filter((secret) => !secrets.includes(secret)))
  }
  const { graceMs, load, signal, forceFormat } = options
  const failed = new AbortController()
  const fail = (error: Error): void => failed.abort(error)
  try {
    const site = await openSite(config, {
      ...{ logger, teardown, graceMs, load, hide, signal, forceFormat, fail },
    })
    return runningServer({ ...site, teardown, logger, signal, failed: failed.signal })
  } catch (error) {
    // What kept the site from starting is what its caller should hear of, and the teardown logs.
    await teardown.run().catch(() => undefined)
    throw error
  }
}

function openLog(
  { logging }: ServerConfig,
  secrets: readonly string[],
  { writeLog }: StartOptions,
): Logger {
  return createLogger({
    level: logging.level,
    format: logging.format,
    secrets,
    colours: writeLog === undefined && process.stdout.isTTY && process.stdout.hasColors(),
    ...(writeLog === undefined ? {} : { write: writeLog }),
  })
}

interface Credentials {
  readonly access: AccessControl
  readonly revoked: RevokedTokens
  readonly tokens: SiteTokens
  readonly remoteTokens: RemoteTokens
  readonly remoteCertificates: RemoteCertificates
  readonly reloading: Reloading
}

/** Everything that says who somebody is, on either end, and that can be exchanged at run time. */
async function openCredentials(
  config: ServerConfig,
  { logger, teardown, load, hide }: Opening,
  parts: {
    readonly listener: Pick<Listener, 'renewTls'>
    readonly certificates: Certificates
    readonly files: SmallFiles
    readonly onChanged: () => void
  },
): Promise<Credentials> {
  const { server, auth, replication } = config
  const clock = systemClock
  const revoked = await RevokedTokens.open(parts.files, parts.onChanged)
  const access = new AccessControl({
    loopback: isLoopbackHost(server.host),
    allowAnonymous: server.allowAnonymous,
    tokens: auth.tokens,
    acceptTokens: replication.acceptTokens,
    scheme: server.tls === undefined ? 'http' : 'https',
    clock,
    revocations: revoked,
    onReplaced: parts.onChanged,
  })
  const tokens = new SiteTokens({ table: access.tokens, revoked, clock, logger })
  teardown.add('tokens', async () => tokens.close())
  const remoteTokens = new RemoteTokens(replication.remotes, {
    ...{ logger, onToken: (token) => hide([token]) },
  })
  const remoteCertificates = new RemoteCertificates(() => reloading.clientTls, logger)
  const reloading: Reloading = new Reloading(
    {
      ...{ config, load, access, tokens, remoteTokens, remoteCertificates, hide, clock, logger },
      listener: parts.listener,
      check: (next) => assertProtected(config, next),
    },
    parts.certificates,
  )
  teardown.add('reloading', () => reloading.close())
  tokens.watch()
  reloading.watch()
  return { access, revoked, tokens, remoteTokens, remoteCertificates, reloading }
}

interface Opening {
  readonly logger: Logger
  readonly teardown: Teardown
  readonly graceMs: number | undefined
  readonly signal: AbortSignal
  readonly forceFormat: boolean | undefined
  readonly load: StartOptions['load']
  readonly hide: (secrets: readonly string[]) => void
  /** Stops the site, which cannot go on. */
  readonly fail: (error: Error) => void
}

interface OpenSite {
  readonly url: string
  readonly reload: () => Promise<void>
}

async function openSite(config: ServerConfig, opening: Opening): Promise<OpenSite> {
  const { logger, teardown, signal, forceFormat, graceMs = closeGraceMs } = opening
  const { server } = config
  const loopback = isLoopbackHost(server.host)
  assertProtected(config, config)
  const certificates = await readCertificates(config)
  // Bound before anything is written; until the site is ready, whoever connects is told to wait.
  const listener = await openListener(config, certificates, logger)
  teardown.add('listener', () => listener.close(0))
  assertLoopback(listener, loopback)
  const threads = new HttpThreads()
  const readers = threadCountOf(config) > 1 ? threads : undefined
  const storage = await openStorage(config, { logger, teardown, signal, forceFormat, readers })
  const { files } = storage
  const { port } = listener.address
  const keeper = await openRole(config, storage, { logger, teardown })
  const credentials = await openCredentials(config, opening, {
    ...{ listener: allOf(listener, threads), certificates, files },
    onChanged: () => threads.credentialsChanged(),
  })
  const tls = server.tls !== undefined
  const { replicator, remotes } = await openReplication(config, {
    storage,
    advertiseUrl: server.advertiseUrl ?? urlOfHost(server.host, port, { tls }),
    roles: keeper,
    remoteTokens: credentials.remoteTokens,
    clientTls: () => credentials.reloading.clientTls,
    certificates: credentials.remoteCertificates,
    logger,
  })
  let closing = false
  const closeReplication = once(() => replicator.close())
  teardown.add('replication', closeReplication)
  const { access, tokens, reloading } = credentials
  const planes = await createPlanes({
    config,
    storage,
    replicator,
    remotes,
    keeper,
    access,
    tokens,
    credentials: () => [...tokens.reasons(), ...reloading.reasons()],
    logger,
    threads,
    closing: () => closing,
  })
  teardown.add('planes', () => planes.close())
  const handle = loggedHandler(config, planes.handle, logger)
  await openThreads(config, {
    ...{ threads, teardown, storage, store: planes.clients, handle, logger },
    address: { host: listener.address.address, port },
    certificates: () => reloading.listenerTls,
    ...{ access, revoked: credentials.revoked },
    onCounted: (operations) => planes.metrics.merge(operations),
    onFailed: opening.fail,
  })
  teardown.add('requests', async () => {
    closing = true
    // Together: the polls of senders wait in the listener, and the replicator ends them.
    await Promise.all([threads.close(graceMs), listener.close(graceMs), closeReplication()])
  })
  keeper.awaitWord(remotes.metUrls(), firstWordMs)
  listener.serve(handle)
  threads.serve()
  replicator.start()
  const url = urlOfHost(reachableHost(server.host), port, { tls })
  announce({ config, storage, keeper, url, logger })
  return { url, reload: () => reloading.reload() }
}

/** New connections get the same certificates, whichever thread they come to. */
function allOf(listener: Listener, threads: HttpThreads): Pick<Listener, 'renewTls'> {
  return {
    renewTls: (material) => {
      listener.renewTls(material)
      threads.renewTls(material)
    },
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= work()
    return done
  }
}

function loggedHandler(
  { logging }: ServerConfig,
  handle: RequestHandler,
  logger: Logger,
): RequestHandler {
  return logging.level === 'debug' ? withAccessLog(handle, logger) : handle
}

async function openRole(
  { replication }: ServerConfig,
  { files, volume }: Pick<Storage, 'files' | 'volume'>,
  { logger, teardown }: Pick<Opening, 'logger' | 'teardown'>,
): Promise<RoleKeeper> {
  const keeper = await RoleKeeper.open({
    siteId: volume.identity.siteId,
    files,
    configured: replication.role,
    clock: systemClock,
    logger,
  })
  teardown.add('role', () => keeper.close())
  return keeper
}

function openListener(
  config: ServerConfig,
  { listener }: Certificates,
  logger: Logger,
): Promise<Listener> {
  const { server } = config
  const { host, port, tls } = server
  const count = threadCountOf(config)
  const shared = count > 1 ? 'first' : undefined
  const address = { host, port, shared } as const
  const options = { address, logger, limits: { connectionsMax: connectionsMaxOf(count) } }
  if (tls === undefined || listener === undefined) return Listener.open(options)
  const { clientAuth, minVersion } = tls
  return Listener.open({ ...options, tls: { ...listener, clientAuth, minVersion } })
}

/** The configuration refuses this already; here it is made sure of for every caller. */
function assertProtected(
  { server }: Pick<ServerConfig, 'server'>,
  { auth }: Pick<ServerConfig, 'auth'>,
): void {
  if (isLoopbackHost(server.host) || auth.tokens.length > 0 || server.allowAnonymous) return
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
  readonly keeper: RoleKeeper
  readonly url: string
  readonly logger: Logger
}): void {
  const { config, storage, keeper, url, logger } = site
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
      role: keeper.record.role,
      threads: threadCountOf(config),
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
  readonly reload: () => Promise<void>
  readonly teardown: Teardown
  readonly logger: Logger
  readonly signal: AbortSignal
  /** Aborted when the site has to stop. */
  readonly failed: AbortSignal
}): RunningServer {
  const { url, reload, teardown, logger, signal, failed } = parts
  const { promise: closed, resolve, reject } = Promise.withResolvers<void>()
  // Whoever wants to know looks at it; nobody has to.
  closed.catch(() => undefined)
  let asked = false
  const stop = async (): Promise<void> => {
    logger.info({}, 'Shutting down')
    await teardown.run()
    logger.info({}, 'Stopped')
    failed.throwIfAborted()
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
  failed.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted || failed.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return { url, closed, reload, close }
}
