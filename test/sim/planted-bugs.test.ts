import { describe, expect, it } from 'vitest'
import { noDiskFaults } from '../../src/sim/sim-disk.ts'
import type { Seams } from '../../src/sim/sim-site.ts'
import type { SimulationOptions } from '../../src/sim/swarm.ts'
import {
  confirmsAtOnce,
  forgetsWaiters,
  ignoresContexts,
  ignoresPins,
  neverSyncs,
  settlesEarly,
  syncsLater,
  tearsBatches,
} from './planted-bugs.ts'
import { firstFinding, type SeedOptions } from './run-seeds.ts'

interface Planted {
  readonly bug: string
  readonly seams: Seams
  /** What makes it show sooner. */
  readonly change?: SeedOptions['change']
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
    bug: 'a limit that forgets who waits',
    seams: { traffic: forgetsWaiters },
    seedsMax: 10,
    by: ['liveness'],
  },
]

describe('the simulation', () => {
  it.for(planted)('finds $bug', { timeout: 60_000 }, async ({ seams, change, seedsMax, by }) => {
    const how = change === undefined ? { seams } : { seams, change }
    const found = await firstFinding(seedsMax, how)
    expect(by).toContain(found?.violation?.check)
  })
})
