import { describe, expect, it } from 'vitest'
import { noDiskFaults } from '../../src/sim/sim-disk.ts'
import type { Seams } from '../../src/sim/sim-site.ts'
import type { SimulationOptions, SwarmOptions } from '../../src/sim/swarm.ts'
import {
  acknowledgesWhatIsHeld,
  confirmsAtOnce,
  forgetsDeletions,
  forgetsWaiters,
  ignoresContexts,
  ignoresPins,
  ignoresSeenVersions,
  neverSyncs,
  settlesEarly,
  syncsLater,
  takesNewestForAll,
  tearsBatches,
  trustsClocks,
} from './planted-bugs.ts'
import { firstFinding, type SeedOptions } from './run-seeds.ts'

interface Planted {
  readonly bug: string
  readonly seams: Seams
  /** Puts it where there is no seam; returns what takes it out. */
  readonly plant?: () => () => void
  /** What makes it show sooner. */
  readonly change?: SeedOptions['change']
  readonly fixed?: SwarmOptions
  /** The first seed, 1 unless told. */
  readonly from?: number
  readonly seedsMax: number
  /** The checks that are made to find it. */
  readonly by: readonly string[]
}

const slowReadsOfWhatGoes: Partial<SimulationOptions> = {
  operations: 200,
  clients: 12,
  thinkMs: 2,
  buckets: 1,
  keys: 3,
  largeShare: 0.9,
  largeBytesMax: 60_000,
  segmentBytes: 64 * 1024,
  capacitySegments: 400,
  diskLatency: { readMs: 5, writeMs: 0.1, syncMs: 1 },
  diskFaults: noDiskFaults,
}

/** Both are written with few keys, and set forwards and back by a minute all the time. */
const clocksThatAreSet: Partial<SimulationOptions> = {
  twoWay: true,
  keys: 3,
  clock: { skewMs: 10_000, drift: 0.0001, jumpEveryMs: 500, jumpMs: 60_000 },
}

const planted: readonly Planted[] = [
  { bug: 'a disk that never syncs', seams: { device: neverSyncs }, seedsMax: 20, by: ['start'] },
  {
    bug: 'a disk that answers before it syncs',
    seams: { device: syncsLater },
    seedsMax: 20,
    by: ['start', 'order', 'readable'],
  },
  {
    bug: 'a ledger that settles at launch',
    seams: { ledger: settlesEarly },
    seedsMax: 10,
    by: ['shipped', 'convergence'],
  },
  {
    bug: 'a sink that takes everything for newer',
    seams: { sink: ignoresContexts },
    seedsMax: 10,
    by: ['order', 'convergence', 'resurrection'],
  },
  {
    bug: 'an index that tears batches',
    seams: { index: tearsBatches },
    seedsMax: 20,
    by: ['places', 'bucket-counts', 'segment-counts', 'blobs', 'ledger'],
  },
  {
    bug: 'a volume that ignores pins',
    seams: { volume: ignoresPins },
    change: (options) => ({ ...options, ...slowReadsOfWhatGoes }),
    seedsMax: 20,
    by: ['readable'],
  },
  {
    bug: 'a gate that confirms at once',
    seams: { gate: confirmsAtOnce },
    change: (options) => ({ ...options, sync: { timeoutMs: 1000, min: 1 } }),
    seedsMax: 10,
    by: ['sync'],
  },
  {
    bug: 'a read elsewhere that forgets what was deleted here',
    seams: { survey: forgetsDeletions },
    change: (options) => ({ ...options, twoWay: true, proxyReads: true, networkLatencyMs: 200 }),
    seedsMax: 10,
    by: ['resurrection'],
  },
  {
    bug: 'a limit that forgets who waits',
    seams: { traffic: forgetsWaiters },
    seedsMax: 10,
    by: ['liveness', 'stop'],
  },
  {
    bug: 'a sink that trusts clocks, which are set forwards and back,',
    seams: { sink: trustsClocks },
    change: (options) => ({ ...options, ...clocksThatAreSet }),
    seedsMax: 10,
    by: ['order', 'convergence', 'conflicts'],
  },
  {
    bug: 'versions that follow a clock which is set back',
    seams: {},
    plant: ignoresSeenVersions,
    change: (options) => ({ ...options, ...clocksThatAreSet }),
    seedsMax: 10,
    by: ['order', 'convergence', 'conflicts'],
  },
  {
    bug: 'purges that take the newest write of a site for all of them',
    seams: {},
    plant: takesNewestForAll,
    // It takes a purge in the moment between two writes that overtake each other: seldom.
    fixed: { sites: 3, twoWay: true, keepBoth: true },
    from: 27,
    seedsMax: 1,
    by: ['purged'],
  },
  {
    bug: 'a breaker that acknowledges what it holds',
    seams: { ledger: acknowledgesWhatIsHeld },
    change: (options) => ({
      ...options,
      replication: { ...options.replication, maxDeleteCount: 1 },
    }),
    seedsMax: 10,
    by: ['shipped', 'convergence'],
  },
]

describe('the simulation', () => {
  it.for(planted)('finds $bug', async ({ seams, plant, change, fixed, from, seedsMax, by }) => {
    const how = { ...fixed, ...(change === undefined ? { seams } : { seams, change }) }
    const takeOut = plant?.()
    const found = await firstFinding(seedsMax, how, from).finally(takeOut)
    expect(by).toContain(found?.violation?.check)
  })
})
