import { expect, it } from 'vitest'
import { noDiskFaults } from '../../src/sim/sim-disk.ts'
import { noNetworkFaults } from '../../src/sim/sim-network.ts'
import type { SimulationOptions } from '../../src/sim/swarm.ts'
import { passSeeds } from './run-seeds.ts'

it('no client reads a wrong byte from disks that turn bits over, simulated', async () => {
  const totals = await passSeeds({ from: 3001, count: 25 }, { rot: true })
  expect(totals.get('rot') ?? 0).toBeGreaterThan(100)
  // Rot was met: by a reader, who was told, or by a site that refused to start on it.
  expect((totals.get('damaged') ?? 0) + (totals.get('start-failed') ?? 0)).toBeGreaterThan(0)
})

/** What is written has arrived at both before it rots, so that one can help the other. */
function calm(options: SimulationOptions): SimulationOptions {
  const { replication, crashes } = options
  return {
    ...options,
    keys: 20,
    operations: 300,
    clients: 4,
    thinkMs: 300,
    largeShare: 0.2,
    largeBytesMax: 6000,
    capacitySegments: 400,
    networkLatencyMs: 5,
    networkFaults: noNetworkFaults,
    diskFaults: noDiskFaults,
    partitions: { everyMs: 0, lastMs: 0 },
    crashes: { ...crashes, everyMs: 0, startShare: 0 },
    replication: { ...replication, batchIntervalMs: 10, retryDelayMs: 200 },
    rotEveryMs: 30,
  }
}

it('what has rotted at one of two sites is mended with the bytes of the other, simulated', async () => {
  const totals = await passSeeds(
    { from: 3001, count: 2 },
    { rot: true, twoWay: true, change: calm },
  )
  expect(totals.get('mend-mended') ?? 0).toBeGreaterThan(0)
})
