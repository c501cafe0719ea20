import { describe, expect, it } from 'vitest'
import type { Seams } from '../../src/sim/sim-site.ts'
import {
  ignoresContexts,
  ignoresPins,
  neverSyncs,
  settlesEarly,
  syncsLater,
  tearsBatches,
} from './planted-bugs.ts'
import { firstFinding } from './run-seeds.ts'

interface Planted {
  readonly bug: string
  readonly seams: Seams
  readonly seedsMax: number
  /** The checks that are made to find it. */
  readonly by: readonly string[]
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
    by: ['shipped'],
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
    seedsMax: 200,
    by: ['readable'],
  },
]

describe('the simulation', () => {
  it.for(planted)('finds $bug', { timeout: 60_000 }, async ({ seams, seedsMax, by }) => {
    const found = await firstFinding(seedsMax, { seams })
    expect(by).toContain(found?.violation?.check)
  })
})
