/**
 * One site: what outlives its processes (disk, index disk, hardware clock), and the process that runs
 * now, which is the real volume, store and replication put together as the server does it.
 */
import { assert } from '../base/assert.ts'
import type { Logger } from '../base/log.ts'
import type { Device } from '../device/device.ts'
import { MemoryIndex, MemoryIndexDisk } from '../index/memory-index.ts'
import type { IndexOperation, OrderedIndex } from '../index/ordered-index.ts'
import { ClientStore } from '../replication/client-store.ts'
import type { ReplicationOptions } from '../replication/options.ts'
import {
  createReplicator,
  type RemoteDefinition,
  type Replicator,
} from '../replication/replicator.ts'
import type { SyncGate, SyncOptions } from '../replication/send/sync-gate.ts'
import { LinkTraffic } from '../replication/wire/link-traffic.ts'
import { type Engine, openEngine } from '../store/engine.ts'
import type { ConflictPolicy } from '../store/model/bucket-register.ts'
import type { ChangeSink, ObjectStore, RemoteLedger } from '../store/model/object-store.ts'
import type { Survey } from '../store/model/survey.ts'
import type { ReclaimOptions } from '../store/space/reclaim-options.ts'
import { Volume } from '../volume/volume.ts'
import type { Chance } from './chance.ts'
import type { EventQueue } from './event-queue.ts'
import { type HardwareClock, SimClock } from './sim-clock.ts'
import { SimDevice, SimSystemError } from './sim-device.ts'
import type { SimDisk } from './sim-disk.ts'
import type { Caller, SimNetwork } from './sim-network.ts'
import { createSimReads, type SimReads } from './sim-reads.ts'
import { SimSiteReader } from './sim-site-reader.ts'
import { type Directory, SimBlobTransport, SimRemoteTransport, urlOf } from './sim-transport.ts'
import { SimWire } from './sim-wire.ts'
import type { Trace } from './trace.ts'

/** Where tests put something between the parts, to see that a bug there is found. */
export interface Seams {
  readonly device?: (device: Device) => Device
  readonly volume?: (volume: Volume) => Volume
  readonly index?: (index: OrderedIndex) => OrderedIndex
  readonly ledger?: (ledger: RemoteLedger) => RemoteLedger
  readonly sink?: (sink: ChangeSink) => ChangeSink
  readonly gate?: (gate: SyncGate) => SyncGate
  readonly traffic?: (traffic: LinkTraffic) => LinkTraffic
  /** What a site says of its slots when it reads elsewhere. */
  readonly survey?: (survey: Survey) => Survey
}

export interface IndexConduct {
  /** Mean time of a write or read, ms. */
  readonly latencyMs: number
  /** Probability that a write fails. */
  readonly faults: number
}

export interface SimSiteOptions {
  readonly name: string
  /** The sites it ships to. */
  readonly remotes: readonly string[]
  readonly queue: EventQueue
  readonly chance: Chance
  readonly disk: SimDisk
  readonly clock: HardwareClock
  readonly index: IndexConduct
  readonly network: SimNetwork
  readonly directory: Directory
  readonly segmentBytes: number
  readonly capacityBytes: number
  readonly replication: ReplicationOptions
  readonly conflictPolicy: ConflictPolicy
  readonly reclaim: ReclaimOptions
  /** Undefined in async mode. */
  readonly sync: SyncOptions | undefined
  /** Whether it packs what it sends, and takes what is packed. */
  readonly packs: boolean
  /** Bytes per second to each remote; 0 for no limit. */
  readonly bandwidthLimit: number
  readonly trace: Trace
  readonly logger: Logger
  readonly seams: Seams
  /** Sees what is written to the index. */
  readonly onIndexed: (site: string, operations: readonly IndexOperation[]) => void
}

/** A site's running process. */
export interface SimProcess {
  readonly site: string
  readonly engine: Engine
  /** The engine as clients get it. */
  readonly clients: ObjectStore
  readonly volume: Volume
  readonly replicator: Replicator
  readonly reads: SimReads
  /** By the name of the remote. */
  readonly ledgers: ReadonlyMap<string, RemoteLedger>
  isAlive(): boolean
}

export type CrashKind = 'kill' | 'power'

export class SimSite {
  readonly name: string
  readonly remotes: readonly string[]
  readonly disk: SimDisk
  readonly clock: HardwareClock
  readonly #options: SimSiteOptions
  readonly #chance: Chance
  #indexDisk: MemoryIndexDisk
  #processClock: SimClock | undefined
  #process: SimProcess | undefined
  #lives = 0
  #indexFaults: number
  #capacityBytes: number
  /** What clients wait for. */
  readonly #served = new Set<Promise<unknown>>()
  /** Called when the running process is gone without having been stopped. */
  readonly #mourners = new Set<() => void>()

  constructor(options: SimSiteOptions) {
    this.name = options.name
    this.remotes = options.remotes
    this.disk = options.disk
    this.clock = options.clock
    this.#options = options
    this.#chance = options.chance
    this.#indexFaults = options.index.faults
    this.#capacityBytes = options.capacityBytes
    this.#indexDisk = this.#newIndexDisk()
  }

  /** The process, once it is up. */
  get process(): SimProcess | undefined {
    return this.#process
  }

  get indexDisk(): MemoryIndexDisk {
    return this.#indexDisk
  }

  get lives(): number {
    return this.#lives
  }

  /**
   * Starts a process. Resolves when it is up; never, when it is killed before.
   * @throws whatever keeps a site from starting; then it must be crashed before the next start
   */
  async start(): Promise<SimProcess> {
    assert(this.#processClock === undefined, 'a site runs one process at a time')
    this.#lives++
    const clock = new SimClock(this.clock)
    this.#processClock = clock
    const { epoch } = this.disk
    const isAlive = (): boolean => this.disk.epoch === epoch
    const random = this.#chance.fork(`life ${this.#lives}`)
    const { logger, seams, segmentBytes, replication, conflictPolicy, reclaim } = this.#options
    const device = new SimDevice(this.disk)
    const volume = await Volume.open({
      device: seams.device?.(device) ?? device,
      random,
      clock,
      logger,
      format: { segmentBytes, siteId: this.name },
      capacityBytes: this.#capacityBytes,
    })
    const engine = await openEngine({
      volume: seams.volume?.(volume) ?? volume,
      openIndex: (options) => this.#openIndex(options),
      clock,
      random,
      logger,
      maxClockSkewMs: replication.maxClockSkewMs,
      conflictPolicy,
      reclaim,
    })
    const ledgers = await this.#openLedgers(engine)
    const replicator = this.#replicate({ engine, volume, ledgers, clock, random, isAlive })
    replicator.start()
    const clients = this.#serveClients(engine, replicator, clock)
    const reads = this.#read({ engine, volume, replicator, clock })
    this.#process = {
      site: this.name,
      engine,
      clients,
      volume,
      replicator,
      reads,
      ledgers,
      isAlive,
    }
    return this.#process
  }

  /** Ends the process in the middle of whatever it does. */
  crash(kind: CrashKind): void {
    if (kind === 'power') this.disk.crash()
    else this.disk.kill()
    this.#indexDisk.crash()
    this.#processClock?.stop()
    this.#processClock = undefined
    this.#process = undefined
    if (kind === 'kill') this.#options.network.reset(this.name)
    for (const mourn of this.#mourners) mourn()
    this.#mourners.clear()
    this.#served.clear()
  }

  /** Ends the process as SIGTERM does: what is being served is finished first. */
  async stop(): Promise<void> {
    const process = this.#process
    assert(process !== undefined, 'a site that runs is stopped')
    this.#process = undefined
    while (this.#served.size > 0) await Promise.allSettled(this.#served)
    await process.reads.healing.close()
    await process.replicator.close()
    await process.engine.close()
    await process.volume.close()
    this.crash('kill')
  }

  /** Somebody deletes the index while the site is down. */
  loseIndex(): void {
    assert(this.#processClock === undefined, 'a running site holds its index')
    this.#indexDisk = this.#newIndexDisk()
  }

  /** Runs something for a client at the running process; `lost` when the process ends before. */
  serve<T>(work: (process: SimProcess) => Promise<T>): Promise<T | 'lost'> {
    const process = this.#process
    assert(process !== undefined, 'a site that runs serves')
    return new Promise((resolve, reject) => {
      const mourn = (): void => resolve('lost')
      this.#mourners.add(mourn)
      const running = work(process).finally(() => this.#mourners.delete(mourn))
      this.track(running)
      running.then(resolve, reject)
    })
  }

  /** The process does not stop before `work` has ended. */
  track(work: Promise<unknown>): void {
    this.#served.add(work)
    const leave = (): void => void this.#served.delete(work)
    work.then(leave, leave)
  }

  /** From the next start on: nothing fails, and there is room. */
  heal(capacityBytes: number): void {
    this.disk.heal()
    this.disk.capacityBytes = 2 * capacityBytes
    this.#indexFaults = 0
    this.#capacityBytes = capacityBytes
  }

  #newIndexDisk(): MemoryIndexDisk {
    return new MemoryIndexDisk({ survives: () => this.#chance.hits(0.5) })
  }

  async #openIndex({ fresh }: { readonly fresh: boolean }): Promise<OrderedIndex> {
    if (fresh) this.#indexDisk = this.#newIndexDisk()
    const { queue, seams, onIndexed } = this.#options
    const { latencyMs } = this.#options.index
    const settle = async (): Promise<void> => {
      await queue.pause(this.#chance.around(latencyMs))
      if (this.#chance.hits(this.#indexFaults)) throw new SimSystemError('EIO', 'the index')
    }
    const index = await MemoryIndex.open({ disk: this.#indexDisk, settle })
    const { write } = index
    index.write = (operations) => {
      onIndexed(this.name, operations)
      return write.call(index, operations)
    }
    return seams.index?.(index) ?? index
  }

  async #openLedgers(engine: Engine): Promise<ReadonlyMap<string, RemoteLedger>> {
    const ledgers = new Map<string, RemoteLedger>()
    const { seams } = this.#options
    for (const remote of this.remotes) {
      const ledger = await engine.ledger(remote)
      ledgers.set(remote, seams.ledger?.(ledger) ?? ledger)
    }
    return ledgers
  }

  #serveClients(engine: Engine, { gate }: Replicator, clock: SimClock): ObjectStore {
    const { sync, seams } = this.#options
    if (sync === undefined) return engine
    return new ClientStore({
      store: engine,
      beginWrite: () => () => undefined,
      sync: {
        gate: seams.gate?.(gate) ?? gate,
        fallback: 'error',
        timeoutMs: sync.timeoutMs,
      },
      clock,
    })
  }

  #read(parts: {
    readonly engine: Engine
    readonly volume: Volume
    readonly replicator: Replicator
    readonly clock: SimClock
  }): SimReads {
    const { engine, volume, replicator, clock } = parts
    const { logger, seams, trace } = this.#options
    const survey = seams.survey?.(engine.survey) ?? engine.survey
    const { identity } = volume
    return createSimReads({ engine, survey, identity, replicator, clock, logger, trace })
  }

  #replicate(parts: {
    readonly engine: Engine
    readonly volume: Volume
    readonly ledgers: ReadonlyMap<string, RemoteLedger>
    readonly clock: SimClock
    readonly random: Chance
    readonly isAlive: () => boolean
  }): Replicator {
    const { engine, volume, ledgers, clock, random, isAlive } = parts
    const { network, directory, replication, sync, logger, seams, packs, trace } = this.#options
    const from = { site: this.name, isAlive }
    return createReplicator({
      feed: engine.feed,
      holdings: engine.holdings,
      sink: seams.sink?.(engine) ?? engine,
      site: engine,
      identity: volume.identity,
      remotes: [...ledgers].map(([to, ledger]) => ({
        ...linkOf(engine, to),
        name: to,
        url: urlOf(to),
        ...this.#wired({ clock, from, to }),
        reader: new SimSiteReader({ network, directory, from, to }),
        ledger,
        isSync: sync !== undefined,
      })),
      ...(sync === undefined ? {} : { sync }),
      advertiseUrl: urlOf(this.name),
      blobTransport: new SimBlobTransport({ network, directory, from, takesPacked: packs, trace }),
      options: replication,
      takesCompressed: packs,
      clock,
      random,
      logger,
    })
  }

  #wired({
    clock,
    from,
    to,
  }: {
    readonly clock: SimClock
    readonly from: Caller
    readonly to: string
  }): Pick<RemoteDefinition, 'transport' | 'traffic'> {
    const { network, directory, packs, bandwidthLimit, trace, seams } = this.#options
    const own = new LinkTraffic({ clock, compression: packs ? 'auto' : 'off', bandwidthLimit })
    const traffic = seams.traffic?.(own) ?? own
    const wire = new SimWire(traffic, trace)
    return { transport: new SimRemoteTransport({ network, directory, from, to, wire }), traffic }
  }
}

function linkOf({ remotes }: Engine, to: string): Pick<RemoteDefinition, 'epoch' | 'filter'> {
  const linked = remotes.list().find(({ name }) => name === to)
  assert(linked !== undefined, 'a ledger belongs to a linked remote')
  return { epoch: linked.epoch, filter: linked.filter }
}
