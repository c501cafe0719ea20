/** The three planes of a site over its storage and replication, behind one dispatcher. */
import type { IncomingMessage } from 'node:http'
import { denialFailure } from '../admin/control-failure.ts'
import { type ControlPlane, createControlPlane } from '../admin/control-plane.ts'
import type { HealthReport, ReplicationControl, TokenControl } from '../admin/ports.ts'
import { answerUnread } from '../admin/unread-body.ts'
import { rethrowAssertion } from '../base/assert.ts'
import { ByteBudget } from '../base/byte-budget.ts'
import { systemClock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import type { ServerConfig } from '../config/server-config.ts'
import { ClientConflicts } from '../replication/client-conflicts.ts'
import { ClientStore } from '../replication/client-store.ts'
import { createReadHandler } from '../replication/reads/http-read-handler.ts'
import { ReadResponder } from '../replication/reads/read-responder.ts'
import { createHttpReceiver } from '../replication/receive/http-receiver.ts'
import type { Replicator } from '../replication/replicator.ts'
import { replicationPaths } from '../replication/wire/protocol.ts'
import type { Authorize } from '../s3/access.ts'
import { createS3Handler } from '../s3/handler.ts'
import type { Scrubber } from '../store/scrub/scrubber.ts'
import { rememberBriefly } from './control/brief-memory.ts'
import { reportHealth } from './control/health.ts'
import { createReplicationControl } from './control/replication-control.ts'
import { createScrubControl, scrubReasons } from './control/scrub-control.ts'
import { createVerifyControl, verifySummary } from './control/verify-control.ts'
import type { AccessControl } from './credentials/access.ts'
import { createDispatcher } from './listener/dispatcher.ts'
import type { RequestHandler } from './listener/listener.ts'
import { type SiteFigures, SiteMetrics } from './metrics/metrics.ts'
import type { Remotes } from './remotes/remotes.ts'
import { createSiteReads, type SiteReads } from './remotes/site-reads.ts'
import { RoleControl } from './roles/role-control.ts'
import { type RoleKeeper, roleStatus } from './roles/role-keeper.ts'
import { openScrubber } from './storage/scrubbing.ts'
import type { Storage } from './storage/storage.ts'
import type { HttpThreads } from './threads/http-threads.ts'

/** Body bytes of the data plane in memory at one time: half of what a site may take above idle. */
const budgetBytes = 128 * 2 ** 20
/** Anybody may ask for the health, and finding it walks over what every remote has outstanding. */
const healthAgeMsMax = 1000

export interface PlanesOptions {
  readonly config: ServerConfig
  readonly storage: Storage
  readonly replicator: Replicator
  readonly remotes: Remotes
  readonly keeper: RoleKeeper
  readonly access: AccessControl
  readonly tokens: TokenControl
  /** What is wrong, or soon will be, with tokens and certificates. */
  readonly credentials: () => readonly string[]
  readonly logger: Logger
  /** Those that take connections beside this one, if any do. */
  readonly threads: HttpThreads
  /** Whether the site is on its way down. */
  readonly closing: () => boolean
}

export interface Planes {
  readonly handle: RequestHandler
  /** The store as clients get it. */
  readonly clients: ClientStore
  readonly metrics: SiteMetrics
  close(): Promise<void>
}

export async function createPlanes(options: PlanesOptions): Promise<Planes> {
  const reads = createSiteReads(options.config, options)
  const clients = createClients(options, reads)
  const replication = replicationControl(options, { clients, reads })
  const budget = new ByteBudget({ clock: systemClock, capacityBytes: budgetBytes })
  const scrubber = await openScrubber(options.config, {
    ...options.storage,
    heal: (info) => reads.healing.heal(info),
    logger: options.logger,
  })
  const metrics = new SiteMetrics(
    () => siteFigures(options, { replication, reads, budget, scrubber }),
    () => options.threads.report(),
  )
  const control = await createControl(options, { clients, replication, metrics, scrubber })
  const handle = createDispatcher({
    data: createData(options, { clients, reads, metrics, budget }),
    control: control.handle,
    replication: createStreams(options, control),
  })
  const close = async (): Promise<void> => {
    await Promise.all([control.close(), reads.healing.close(), scrubber.close()])
  }
  scrubber.start()
  return { handle, clients, metrics, close }
}

/** The store as clients get it: writes only at a primary, answered when the mode says so. */
function createClients(
  { config, storage, replicator, keeper }: PlanesOptions,
  { healing }: SiteReads,
): ClientStore {
  const { syncFallback: fallback, syncTimeoutMs: timeoutMs } = config.replication
  const { gate } = replicator
  return new ClientStore({
    store: storage.engine,
    heal: (object) => healing.over(object),
    beginWrite: () => keeper.beginWrite(),
    sync: { gate, fallback, timeoutMs },
    clock: systemClock,
  })
}

function replicationControl(
  { config, storage, replicator, remotes, keeper, closing }: PlanesOptions,
  { clients, reads }: { readonly clients: ClientStore; readonly reads: SiteReads },
): ReplicationControl {
  const roles = new RoleControl({
    keeper,
    ask: (waitMs) => replicator.ask(waitMs),
    ledgers: () => replicator.ledgers(),
    links: () => replicator.status(),
    paused: () => pausedOf(remotes),
    clock: systemClock,
    closing,
  })
  return createReplicationControl({
    enabled: () =>
      config.replication.enabled || remotes.list().some(({ source }) => source === 'added'),
    identity: storage.volume.identity,
    feed: storage.engine.feed,
    store: storage.engine,
    look: reads.look,
    ledgers: () => storage.engine.ledgers(),
    links: () => replicator.status(),
    remotes,
    verified: (remote) => verifySummary(replicator.verifier.lastOf(remote)),
    role: () => roleStatus(keeper),
    sync: () => clients.syncFigures(),
    changeRole: (order) => roles.change(order),
    clock: systemClock,
  })
}

function pausedOf(remotes: Remotes): readonly string[] {
  return remotes.list().flatMap(({ name, paused }) => (paused ? [name] : []))
}

function createControl(
  options: PlanesOptions,
  parts: {
    readonly clients: ClientStore
    readonly replication: ReplicationControl
    readonly metrics: SiteMetrics
    readonly scrubber: Scrubber
  },
): Promise<ControlPlane> {
  const { storage, replicator, remotes, access, tokens, credentials, threads, logger, closing } =
    options
  const { clients, replication, metrics, scrubber } = parts
  const health = rememberBriefly({
    clock: systemClock,
    ms: healthAgeMsMax,
    make: () => {
      const others = [...credentials(), ...scrubReasons(scrubber), ...threads.reasons()]
      return siteHealth(storage, replication, others)
    },
  })
  return createControlPlane({
    store: clients,
    conflicts: new ClientConflicts(storage.engine.conflicts, clients),
    replication,
    remotes,
    tokens,
    verify: createVerifyControl(replicator),
    scrub: createScrubControl(scrubber, {
      totals: () => storage.engine.totals(),
      rate: options.config.storage.scrub.rate,
    }),
    // Of a store that fails, or is about to close, nothing more is asked.
    health: async () => (closing() ? reportHealth({ closing: true }) : await health()),
    metrics: () => metrics.text(),
    authorize: (request, needed) => access.control(request, needed),
    observe: (observation) => metrics.observe(observation),
    logger: logger.child({ component: 'admin' }),
    random: systemRandom,
  })
}

function createData(
  { config, access, logger }: PlanesOptions,
  parts: {
    readonly clients: ClientStore
    readonly reads: SiteReads
    readonly metrics: SiteMetrics
    readonly budget: ByteBudget
  },
): RequestHandler {
  const { clients, reads, metrics, budget } = parts
  return createS3Handler({
    store: clients,
    elsewhere: reads.elsewhere,
    clock: systemClock,
    random: systemRandom,
    logger,
    budget,
    authorize: dataAuthorize(access),
    autoCreateBuckets: config.server.autoCreateBuckets,
    observe: (observation) => metrics.observe(observation),
  })
}

const allowed = { allowed: true } as const

function dataAuthorize(access: AccessControl): Authorize {
  return (request, needed) => {
    const denial = access.data(request, needed)
    if (denial === undefined) return allowed
    const { status, message, hint } = denial
    return { allowed: false, status, message: `${message}. ${hint}` }
  }
}

/** The replication streams. Their token is checked here, before anything of the body is read. */
function createStreams(
  { config, storage, replicator, access, logger }: PlanesOptions,
  control: ControlPlane,
): RequestHandler {
  const authorize = (request: IncomingMessage) => access.replication(request)
  const handle = createHttpReceiver({
    receiver: replicator.receiver,
    tickets: replicator.tickets,
    batchSize: config.replication.batchSize,
    batchBytes: config.replication.batchBytes,
    authorize,
    clock: systemClock,
    logger: logger.child({ component: 'replication' }),
  })
  const { identity } = storage.volume
  const handleRead = createReadHandler({
    responder: new ReadResponder({ site: storage.engine, identity }),
    authorize,
    clock: systemClock,
    logger: logger.child({ component: 'reads' }),
  })
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    // A ticket is a credential of its own for whoever pulls with it.
    if (request.method !== 'GET' || !path.startsWith(replicationPaths.blob)) {
      const denial = authorize(request)
      if (denial !== undefined) {
        answerUnread(request, response, denialFailure(denial).answer)
        return
      }
    }
    if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue()
    if (handle(request, response, path) || handleRead(request, response, path)) return
    control.handle(request, response)
  }
}

async function siteHealth(
  { engine }: Storage,
  replication: ReplicationControl,
  credentials: readonly string[],
): Promise<HealthReport> {
  const storeFailure = readFailure(engine)
  if (storeFailure !== undefined) return reportHealth({ storeFailure })
  const { remotes, role, sync } = await replication.status()
  const storeReasons = engine.health().reasons
  return reportHealth({ storeReasons, remotes, credentials, role: role.role, sync })
}

/** A read that finds nothing shows as well as any other that reads work. */
function readFailure(engine: Storage['engine']): string | undefined {
  try {
    engine.headObject({ bucket: 'health', key: 'health' })
    return undefined
  } catch (error) {
    rethrowAssertion(error)
    // What exactly failed is in the log, not for everybody.
    return 'the index cannot be read: the log has the reason'
  }
}

async function siteFigures(
  { storage, replicator, threads }: PlanesOptions,
  parts: {
    readonly replication: ReplicationControl
    readonly reads: SiteReads
    readonly budget: ByteBudget
    readonly scrubber: Scrubber
  },
): Promise<SiteFigures> {
  const { replication, reads, budget, scrubber } = parts
  const { engine, volume } = storage
  const [buckets, totals, status] = await Promise.all([
    engine.listBuckets(),
    engine.totals(),
    replication.status(),
  ])
  const usage = volume.usage()
  return {
    buckets: buckets.length,
    objects: totals.count,
    objectBytes: totals.bytes,
    volumeCapacityBytes: usage.capacityBytes,
    volumeUsedBytes: usage.usedBytes,
    volumeWritable: usage.writable,
    threadsWithoutIndex: threads.withoutIndex,
    bytesInFlight: budget.heldBytes + threads.heldBytes,
    role: status.role.role,
    sync: status.sync,
    remotes: status.remotes,
    conflicts: engine.conflicts.conflictTotals(),
    skewedChanges: engine.skewedChanges,
    replication: replicator.figures(),
    reads: reads.tally,
    scrub: scrubber,
    space: { ...engine.reclaimed, writtenBytes: volume.writtenBytes },
  }
}
