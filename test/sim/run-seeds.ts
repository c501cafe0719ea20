/** Runs the simulation in a test: from a seed, with what it needs of the process around it. */
import { expect } from 'vitest'
import type { Seams } from '../../src/sim/sim-site.ts'
import { type SimulationHost, type SimulationResult, simulate } from '../../src/sim/simulator.ts'
import { chooseOptions, type SimulationOptions, type SwarmOptions } from '../../src/sim/swarm.ts'

export interface SeedOptions extends SwarmOptions {
  readonly seams?: Seams
  /** Overrides what the seed chose. */
  readonly change?: (options: SimulationOptions) => SimulationOptions
}

/** One run; what nobody catches while it lasts is a finding of the run and not of the test runner. */
export async function runSeed(seed: number, how: SeedOptions = {}): Promise<SimulationResult> {
  const { seams = {}, change = (options) => options, ...fixed } = how
  const others = process.listeners('unhandledRejection')
  const uncaught: unknown[] = []
  const catcher = (error: unknown): void => void uncaught.push(error)
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', catcher)
  const host: SimulationHost = {
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    takeUncaught: () => uncaught.shift(),
  }
  try {
    return await simulate({ seed, options: change(chooseOptions(seed, fixed)), host, seams })
  } finally {
    process.off('unhandledRejection', catcher)
    for (const other of others) process.on('unhandledRejection', other)
  }
}

/** Runs seeds that must all pass; tells how often each kind of thing happened in them. */
export async function passSeeds(
  seeds: { readonly from: number; readonly count: number },
  how: SeedOptions,
): Promise<ReadonlyMap<string, number>> {
  const totals = new Map<string, number>()
  for (let seed = seeds.from; seed < seeds.from + seeds.count; seed++) {
    const result = await runSeed(seed, how)
    if (result.violation !== undefined) expect.fail(reportOf(result, how))
    for (const [what, count] of result.counts) totals.set(what, (totals.get(what) ?? 0) + count)
  }
  return totals
}

/** The first seed that finds something, within so many. */
export async function firstFinding(
  seedsMax: number,
  how: SeedOptions,
  from = 1,
): Promise<SimulationResult | undefined> {
  for (let seed = from; seed < from + seedsMax; seed++) {
    const result = await runSeed(seed, how)
    if (result.violation !== undefined) return result
  }
  return undefined
}

function reportOf(result: SimulationResult, how: SwarmOptions): string {
  const { seed, options, violation, lastLines } = result
  const way = `--topology ${options.topology} ${options.twoWay ? '--two-way' : '--one-way'}`
  return [
    `seed ${seed}: ${violation?.message ?? 'no violation'}`,
    `again: node scripts/simulate.ts --seed ${seed} --sites ${options.sites} ${way}${how.sync === true ? ' --sync' : ''}${how.mistakes === true ? ' --mistakes' : ''}`,
    `options: ${JSON.stringify(options)}`,
    ...lastLines,
  ].join('\n')
}
