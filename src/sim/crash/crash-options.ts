/** What a crash run is like, chosen by its seed: size of the volume, load, faults, and when it ends how. */
import { Chance } from '../chance.ts'
import { type DiskFaults, type DiskLatency, noDiskFaults } from '../sim-disk.ts'

export interface CrashOptions {
  readonly segmentBytes: number
  /** Of the volume, in segments. */
  readonly capacitySegments: number
  readonly buckets: number
  readonly keys: number
  readonly clients: number
  /** Operations that clients begin, over all lives. */
  readonly operations: number
  readonly thinkMs: number
  readonly largeShare: number
  readonly largeBytesMax: number
  readonly diskLatency: DiskLatency
  readonly diskFaults: DiskFaults
  readonly indexLatencyMs: number
  /** Probability that a write of the index fails. */
  readonly indexFaults: number
  /** Lives that end before the last one. */
  readonly crashes: number
  /** Share of ends in which the power fails; in the others the process is killed. */
  readonly powerShare: number
  /** Steps from a start to the end of that life: so many disk operations, or events, at most. */
  readonly stepsMax: number
  /** Share of lives that end in good order. */
  readonly stopShare: number
  /** Probability that the index is gone at the next start. */
  readonly indexLoss: number
}

export function chooseCrashOptions(seed: number): CrashOptions {
  const chance = new Chance(seed).fork('crash options')
  const isCramped = chance.hits(0.4)
  return {
    segmentBytes: 64 * 1024,
    capacitySegments: isCramped ? chance.between(6, 9) : chance.pick([12, 24, 400]),
    buckets: chance.between(1, 2),
    keys: isCramped ? chance.pick([40, 160]) : chance.pick([2, 5, 12]),
    clients: chance.pick([1, 3, 8]),
    operations: isCramped ? chance.between(120, 320) : chance.between(20, 90),
    thinkMs: chance.pick([0, 1, 10]),
    largeShare: isCramped ? chance.pick([0.1, 0.4]) : chance.pick([0.1, 0.3, 0.6]),
    largeBytesMax: chance.pick([6000, 20_000, 40_000]),
    diskLatency: chance.pick<DiskLatency>([
      { readMs: 0, writeMs: 0, syncMs: 0 },
      { readMs: 0.1, writeMs: 0.1, syncMs: 1 },
      { readMs: 0.5, writeMs: 2, syncMs: 5 },
    ]),
    diskFaults: chooseFaults(chance.fork('faults')),
    indexLatencyMs: chance.pick([0, 0.3, 4]),
    indexFaults: chance.pick([0, 0, 0.03]),
    crashes: chance.between(1, 5),
    powerShare: chance.pick([1, 1, 0.5]),
    stepsMax: chance.pick([40, 200, 800]),
    stopShare: chance.pick([0, 0, 0.3]),
    indexLoss: chance.pick([0, 0, 0, 0.2]),
  }
}

function chooseFaults(chance: Chance): DiskFaults {
  if (chance.hits(0.4)) return noDiskFaults
  const rate = (): number => chance.pick([0, 0, 0.005, 0.03])
  return {
    write: rate(),
    shortWrite: rate(),
    sync: rate(),
    read: chance.pick([0, 0, 0, 0.01]),
    folder: rate(),
    space: rate(),
    fullShare: chance.pick([0, 0.5, 1]),
  }
}
