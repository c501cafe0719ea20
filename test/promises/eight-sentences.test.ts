/**
 * The eight sentences of docs/architecture.md, each of them as the name of the test that proves it.
 *
 * The simulation runs the real volume, store and replication over a disk, a network and clocks that
 * fail, and looks after every event whether all eight hold (`src/sim`). Here each one gets seeds in
 * which it is in the greatest danger, and the test asks that the danger was there. That the checks
 * can fail is shown by `test/sim/planted-bugs.test.ts`; the same is done to whole processes in
 * `test/e2e` (`crash`, `outage`, `two-way`) and `test/server/sync-mode.test.ts`.
 */
import { expect, test, vi } from 'vitest'
import type { SimulationOptions, SwarmOptions } from '../../src/sim/swarm.ts'
import { passSeeds } from '../sim/run-seeds.ts'

vi.setConfig({ testTimeout: 120_000 })

interface Danger extends SwarmOptions {
  readonly from: number
  readonly count: number
  readonly change: (options: SimulationOptions) => Partial<SimulationOptions>
  /** What must have happened in these seeds, and how often at least. */
  readonly happened: Readonly<Record<string, number>>
}

async function holdsIn({ from, count, change, happened, ...how }: Danger): Promise<void> {
  const worse = (options: SimulationOptions): SimulationOptions => ({
    ...options,
    ...change(options),
  })
  const totals = await passSeeds({ from, count }, { ...how, change: worse })
  for (const [what, times] of Object.entries(happened)) {
    expect(totals.get(what) ?? 0, what).toBeGreaterThanOrEqual(times)
  }
}

/** Killed or without power every few writes, mostly in the middle of something; starts end, too. */
const crashing = ({ thinkMs }: SimulationOptions): SimulationOptions['crashes'] => ({
  everyMs: 50 + thinkMs * 5,
  startShare: 0.3,
  downMs: 100,
  powerShare: 0.5,
  stopShare: 0,
  atOperationShare: 0.7,
  indexLoss: 0.1,
})

/** Messages are lost, doubled and cut, and whole stretches of time nobody hears the other. */
const badLink = ({ thinkMs }: SimulationOptions): Partial<SimulationOptions> => ({
  networkFaults: { lose: 0.2, duplicate: 0.5, cut: 0.3 },
  partitions: { everyMs: 500 + thinkMs * 50, lastMs: 500 },
})

/** Few keys that all sites write at once. */
const crowded: Partial<SimulationOptions> = { buckets: 1, keys: 3, clients: 12, purges: true }

test('An answered write survives `kill -9` and power loss at any instant.', async () => {
  await holdsIn({
    from: 101,
    count: 4,
    twoWay: false,
    change: (options) => ({ crashes: crashing(options), operations: 60, largeShare: 0.1 }),
    happened: { answered: 100, 'crash-kill': 10, 'crash-power': 10, 'start-failed': 1 },
  })
})

test('Read after write, list after write, on the same site, always; nobody reads what a crash can take back.', async () => {
  await holdsIn({
    from: 106,
    count: 3,
    twoWay: false,
    // Slow disks: much is written, and not synced or not indexed yet.
    change: (options) => ({
      crashes: crashing(options),
      operations: 60,
      diskLatency: { readMs: 0, writeMs: 0, syncMs: 100 },
      index: { latencyMs: 10, faults: 0 },
    }),
    happened: { get: 20, list: 10, answered: 50, 'crash-power': 10 },
  })
})

test('Once a change is answered, its newest state reaches every remote that wants it, whatever crashes, hangs or is cut off; it takes effect there once, however often it is sent.', async () => {
  await holdsIn({
    from: 111,
    count: 3,
    twoWay: false,
    change: (options) => ({
      crashes: crashing(options),
      replayEveryMs: 100 + options.thinkMs * 10,
      ...badLink(options),
    }),
    happened: { answered: 100, call: 100, partition: 1, 'crash-kill': 10, replay: 5 },
  })
})

test('An older change never replaces a newer one, and a purge or delete never removes what its author had not seen, silently.', async () => {
  await holdsIn({
    from: 1093,
    count: 3,
    twoWay: true,
    keepBoth: false,
    // Clocks that are minutes apart, and step.
    change: (options) => ({
      ...crowded,
      ...badLink(options),
      clock: {
        skewMs: 120_000,
        drift: 0.01,
        jumpEveryMs: 500 + options.thinkMs * 40,
        jumpMs: 60_000,
      },
    }),
    happened: { jump: 5, 'conflict-put': 1, 'conflict-delete': 1, 'conflict-purge': 1 },
  })
})

test('When writing stops and the network heals, all sites hold the same objects, versions, metadata and deletions.', async () => {
  for (const topology of ['ring', 'chain', 'mesh'] as const) {
    await holdsIn({
      from: 5,
      count: 1,
      sites: 3,
      topology,
      twoWay: true,
      change: (options) => badLink(options),
      happened: { answered: 10, partition: 1, heal: 1 },
    })
  }
})

test('What was deleted does not come back.', async () => {
  await holdsIn({
    from: 1091,
    count: 3,
    twoWay: true,
    // Old changes are sent again and again, and what a site knows of deletions is taken from it.
    change: (options) => ({
      ...crowded,
      ...badLink(options),
      crashes: { ...crashing(options), indexLoss: 0.3 },
      replayEveryMs: 100 + options.thinkMs * 10,
      rebuild: true,
    }),
    happened: { replay: 5, rebuild: 3, 'index-lost': 3, answered: 50 },
  })
})

test("Two sites that wrote one slot without having seen each other's write is a conflict: all find the same winner, it is counted and listed, and under `keep-both` the loser is still there.", async () => {
  await holdsIn({
    from: 3001,
    count: 10,
    twoWay: true,
    keepBoth: true,
    change: (options) => ({ ...crowded, ...badLink(options) }),
    happened: { 'conflict-kept-put': 5, 'conflict-kept-delete': 1, 'conflict-kept-purge': 1 },
  })
})

test('In sync mode, an answered write is durable at the remote too.', async () => {
  await holdsIn({
    from: 4001,
    count: 3,
    twoWay: true,
    sync: true,
    change: (options) => ({ crashes: crashing(options) }),
    happened: { answered: 50, failed: 10, 'crash-power': 10 },
  })
})
