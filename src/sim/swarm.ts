/**
 * Chooses a run's options from its seed. Not everything at once: each kind of trouble is off in some
 * runs and extreme in others, since a fault that is always a little there hides what only shows
 * without it, or with much of it.
 */
import { unreachable } from '../base/assert.ts'
import { defaultReplicationOptions, type ReplicationOptions } from '../replication/options.ts'
import type { SyncOptions } from '../replication/send/sync-gate.ts'
import { defaultReclaimOptions, type ReclaimOptions } from '../store/space/reclaim-options.ts'
import { Chance } from './chance.ts'
import { type DiskFaults, type DiskLatency, noDiskFaults } from './sim-disk.ts'
import { type NetworkFaults, noNetworkFaults } from './sim-network.ts'
import type { IndexConduct } from './sim-site.ts'

export interface CrashOptions {
  /** Mean time from coming up to the next end, ms; 0 for no end. */
  readonly everyMs: number
  /** Share of starts that end before the site is up. */
  readonly startShare: number
  /** Mean time until it is started again. */
  readonly downMs: number
  /** Shares of all ends: the power fails; it is stopped in good order. The rest is killed. */
  readonly powerShare: number
  readonly stopShare: number
  /** Share of crashes right behind a disk operation, before anybody learns that it was done. */
  readonly atOperationShare: number
  /** Probability that the index is gone at the next start. */
  readonly indexLoss: number
}

export interface PartitionOptions {
  /** Mean time between two, ms; 0 for none. */
  readonly everyMs: number
  readonly lastMs: number
}

export interface ClockOptions {
  readonly skewMs: number
  readonly drift: number
  /** Mean time between two jumps, ms; 0 for none. */
  readonly jumpEveryMs: number
  readonly jumpMs: number
}

/**
 * Who ships to whom. `mesh`: each to each, or the first to all others when only it is written.
 * `chain`: each to the next, and back when all are written. `ring`: each to the next, the last to the
 * first.
 */
export const topologies = ['mesh', 'chain', 'ring'] as const
export type Topology = (typeof topologies)[number]

export interface SimulationOptions {
  readonly sites: number
  readonly topology: Topology
  /** Clients write at every site; else only the first one is written. */
  readonly twoWay: boolean
  readonly operations: number
  readonly clients: number
  readonly thinkMs: number
  readonly buckets: number
  readonly keys: number
  readonly largeShare: number
  readonly largeBytesMax: number
  readonly purges: boolean
  readonly segmentBytes: number
  /** Of the volume, in segments. */
  readonly capacitySegments: number
  readonly diskLatency: DiskLatency
  readonly diskFaults: DiskFaults
  readonly index: IndexConduct
  readonly networkLatencyMs: number
  readonly networkFaults: NetworkFaults
  readonly partitions: PartitionOptions
  readonly crashes: CrashOptions
  readonly clock: ClockOptions
  readonly replication: ReplicationOptions
  /** An answer waits until this many remotes have the write; undefined in async mode. */
  readonly sync: SyncOptions | undefined
  /** Share of the sites that pack what they send, and take what is packed. */
  readonly packShare: number
  /** Bytes per second from a site to each of its remotes; 0 for no limit. */
  readonly bandwidthLimit: number
  /** What a site does not have is read from its remotes. */
  readonly proxyReads: boolean
  /** Mean time between two bits that turn over on a disk, ms; 0 for none. */
  readonly rotEveryMs: number
  /** Mean time between two replays that an operator asks for, ms; 0 for none. */
  readonly replayEveryMs: number
  /** Mean time between two releases of what links hold back, ms; 0 when they hold nothing back. */
  readonly releaseEveryMs: number
  /** Begins again with an empty index in the end, which must make no difference. */
  readonly rebuild: boolean
  readonly reclaim: ReclaimOptions
  /** What loses a conflict is kept, at every site and in every bucket. */
  readonly keepBoth: boolean
}

export interface SwarmOptions {
  readonly sites?: number | undefined
  readonly topology?: Topology | undefined
  readonly twoWay?: boolean | undefined
  /** Whether writes are answered only when remotes have them. */
  readonly sync?: boolean | undefined
  /** Bits turn over. Then promises about what can be read fall, but nothing wrong is ever read. */
  readonly rot?: boolean | undefined
  readonly keepBoth?: boolean | undefined
  /** Links have limits for deletes, or a delay, and an operator who releases. */
  readonly mistakes?: boolean | undefined
}

const minute = 60_000

export function chooseOptions(seed: number, fixed: SwarmOptions = {}): SimulationOptions {
  const chance = new Chance(seed).fork('options')
  const thinkMs = chance.pick([2, 30, 300])
  const twoWay = chance.hits(0.5)
  const sync = chooseSync(new Chance(seed).fork('sync'), fixed)
  const limits = chooseLimits(new Chance(seed).fork('mistakes'), sync !== undefined)
  const isLimited = fixed.mistakes === true
  return {
    sites: fixed.sites ?? 2,
    topology: fixed.topology ?? 'mesh',
    twoWay: fixed.twoWay ?? twoWay,
    operations: chance.between(40, 200),
    clients: chance.pick([1, 4, 12]),
    thinkMs,
    buckets: chance.between(1, 3),
    keys: chance.pick([1, 3, 8]),
    largeShare: chance.pick([0, 0.1, 0.5]),
    largeBytesMax: chance.pick([6000, 20_000, 60_000]),
    purges: chance.hits(0.7),
    segmentBytes: chance.pick([64 * 1024, 64 * 1024, 128 * 1024]),
    capacitySegments: chance.pick([10, 24, 400]),
    diskLatency: chooseDiskLatency(chance),
    diskFaults: chooseDiskFaults(chance),
    index: { latencyMs: chance.pick([0, 0.3, 10]), faults: chance.pick([0, 0, 0.005]) },
    networkLatencyMs: chance.pick([0, 5, 200]),
    networkFaults: chooseNetworkFaults(chance),
    partitions: {
      everyMs: chance.pick([0, 0, 500 + thinkMs * 50]),
      lastMs: chance.pick([500, 20_000]),
    },
    crashes: chooseCrashes(chance, thinkMs),
    clock: chooseClock(chance, thinkMs),
    replication: { ...chooseReplication(chance), ...(isLimited ? limits : {}) },
    releaseEveryMs: isLimited ? 500 + thinkMs * 20 : 0,
    // Of a chance of their own: what a seed chose before stays what it chooses.
    replayEveryMs: new Chance(seed).fork('replays').pick([0, 0, 100 + thinkMs * 10]),
    sync,
    ...chooseWire(new Chance(seed).fork('wire')),
    proxyReads: new Chance(seed).fork('reads').hits(0.7),
    rebuild: chance.hits(0.3),
    rotEveryMs: fixed.rot === true ? 100 + thinkMs * 20 : 0,
    keepBoth: fixed.keepBoth ?? chance.hits(0.5),
    ...chooseCramped(new Chance(seed).fork('cramped')),
    ...chooseChurn(new Chance(seed).fork('churn')),
    reclaim: chooseReclaim(new Chance(seed).fork('reclaim')),
  }
}

/** Many small objects on a volume that is hardly larger than the smallest: only moving records gives it room. */
function chooseCramped(chance: Chance): Partial<SimulationOptions> {
  if (chance.hits(0.8)) return {}
  return {
    segmentBytes: 64 * 1024,
    capacitySegments: chance.between(6, 9),
    operations: chance.between(200, 600),
    keys: chance.pick([8, 30, 100]),
    largeShare: 0,
  }
}

/** Large objects that come and go on a small volume: the segments of their chunks must be cleaned. */
function chooseChurn(chance: Chance): Partial<SimulationOptions> {
  if (chance.hits(0.75)) return {}
  return {
    segmentBytes: 64 * 1024,
    capacitySegments: chance.between(9, 14),
    operations: chance.between(100, 400),
    keys: chance.pick([8, 16]),
    largeShare: chance.pick([0.3, 0.8]),
    largeBytesMax: 20_000,
  }
}

function chooseReclaim(chance: Chance): ReclaimOptions {
  return chance.pick([
    defaultReclaimOptions,
    { ...defaultReclaimOptions, enabled: false },
    { enabled: true, rate: 0, beginPercent: 100, livePercentMax: 95, urgentPercent: 20 },
    { enabled: true, rate: 20_000, beginPercent: 100, livePercentMax: 80, urgentPercent: 0 },
  ])
}

function chooseWire(chance: Chance): Pick<SimulationOptions, 'packShare' | 'bandwidthLimit'> {
  return {
    packShare: chance.pick([0, 0.5, 1, 1]),
    bandwidthLimit: chance.pick([0, 0, 30_000, 300_000]),
  }
}

function chooseDiskLatency(chance: Chance): DiskLatency {
  return chance.pick([
    { readMs: 0, writeMs: 0, syncMs: 0 },
    { readMs: 0.1, writeMs: 0.1, syncMs: 1 },
    { readMs: 5, writeMs: 5, syncMs: 30 },
    { readMs: 0, writeMs: 0, syncMs: 100 },
  ])
}

function chooseDiskFaults(chance: Chance): DiskFaults {
  if (chance.hits(0.4)) return noDiskFaults
  const rate = (): number => chance.pick([0, 0, 0.003, 0.03])
  return {
    write: rate(),
    shortWrite: rate(),
    sync: rate(),
    read: chance.pick([0, 0, 0, 0.01]),
    folder: rate(),
    space: rate(),
  }
}

function chooseNetworkFaults(chance: Chance): NetworkFaults {
  if (chance.hits(0.3)) return noNetworkFaults
  return {
    lose: chance.pick([0, 0.02, 0.2]),
    duplicate: chance.pick([0, 0.05, 0.5]),
    cut: chance.pick([0, 0.05, 0.3]),
  }
}

function chooseCrashes(chance: Chance, thinkMs: number): CrashOptions {
  return {
    everyMs: chance.pick([0, 50 + thinkMs * 5, 200 + thinkMs * 20, 200 + thinkMs * 20]),
    startShare: chance.pick([0, 0.3]),
    downMs: chance.pick([10, 1000, 10_000]),
    powerShare: chance.pick([0, 0.5, 1]),
    stopShare: chance.pick([0, 0.2]),
    atOperationShare: chance.pick([0, 0.5, 1]),
    indexLoss: chance.pick([0, 0, 0.2]),
  }
}

function chooseClock(chance: Chance, thinkMs: number): ClockOptions {
  if (chance.hits(0.4)) return { skewMs: 0, drift: 0, jumpEveryMs: 0, jumpMs: 0 }
  return {
    skewMs: chance.pick([100, 10_000, 2 * minute]),
    drift: chance.pick([0, 0.0001, 0.01]),
    jumpEveryMs: chance.pick([0, 2000 + thinkMs * 40]),
    jumpMs: chance.pick([50, minute, 8 * minute]),
  }
}

function chooseSync(chance: Chance, fixed: SwarmOptions): SyncOptions | undefined {
  const isSync = chance.hits(0.3)
  if (!(fixed.sync ?? isSync)) return undefined
  return {
    timeoutMs: chance.pick([50, 1000, 10_000]),
    min: chance.between(1, Math.max(1, (fixed.sites ?? 2) - 1)),
  }
}

/** In mode sync nothing is delayed. */
function chooseLimits(chance: Chance, isSync: boolean): Partial<ReplicationOptions> {
  const applyDelayMs = chance.pick([0, 0, 300, 20_000])
  return {
    ...chance.pick<Partial<ReplicationOptions>>([
      {},
      { maxDeleteCount: 0 },
      { maxDeleteCount: 2 },
      { maxDeleteCount: 10 },
      { maxDeletePercent: 20 },
      { maxDeletePercent: 70, maxDeleteCount: 5 },
    ]),
    deleteWindowMs: chance.pick([1000, 60_000]),
    applyDelayMs: isSync ? 0 : applyDelayMs,
  }
}

function chooseReplication(chance: Chance): ReplicationOptions {
  const transfer = chance.fork('transfer')
  return {
    ...defaultReplicationOptions,
    batchSize: chance.pick([1, 4, 100]),
    batchIntervalMs: chance.pick([10, 1000]),
    batchBytes: chance.pick([2000, 20_000, 8 * 2 ** 20]),
    retryDelayMs: chance.pick([200, 5000]),
    workers: chance.pick([1, 2, 5]),
    queueSize: chance.pick([1, 5, 10_000]),
    inlineLimit: chance.pick([0, 5000, 30_000, 2 ** 20]),
    transfer: transfer.pick(['pull', 'push', 'auto']),
    rangeBytes: transfer.pick([700, 5000, 4 * 2 ** 20]),
    // Soon enough for a run, and to happen while there is still much else under way.
    abandonedAfterMs: 60_000,
  }
}

/** The sites that the one at `at` of `names` ships to. */
export function remotesOf(
  at: number,
  names: readonly string[],
  { topology, twoWay }: Pick<SimulationOptions, 'topology' | 'twoWay'>,
): readonly string[] {
  const last = names.length - 1
  const pick = (...positions: readonly number[]): readonly string[] =>
    positions.flatMap((position) => names[position] ?? [])
  switch (topology) {
    case 'mesh':
      return twoWay || at === 0 ? names.filter((_, other) => other !== at) : []
    case 'chain':
      return twoWay ? pick(at - 1, at + 1) : pick(at + 1)
    case 'ring':
      return pick(at === last ? 0 : at + 1)
    default:
      return unreachable(topology)
  }
}
