/** Runs the crash suite in a test: from a seed, with what it needs of the process around it. */
import { expect } from 'vitest'
import { chooseCrashOptions } from '../../src/sim/crash/crash-options.ts'
import { type CrashHost, type CrashResult, runCrashes } from '../../src/sim/crash/crash-run.ts'
import type { CrashSeams } from '../../src/sim/crash/crash-site.ts'

/** One run; what nobody catches while it lasts is a finding of the run and not of the test runner. */
export async function runCrashSeed(seed: number, seams: CrashSeams = {}): Promise<CrashResult> {
  const others = process.listeners('unhandledRejection')
  const uncaught: unknown[] = []
  const catcher = (error: unknown): void => void uncaught.push(error)
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', catcher)
  const host: CrashHost = {
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    takeUncaught: () => uncaught.shift(),
  }
  try {
    return await runCrashes({ seed, options: chooseCrashOptions(seed), host, seams })
  } finally {
    process.off('unhandledRejection', catcher)
    for (const other of others) process.on('unhandledRejection', other)
  }
}

/** Runs seeds that must all pass; tells how often each kind of thing happened in them. */
export async function passCrashSeeds(seeds: {
  readonly from: number
  readonly count: number
}): Promise<ReadonlyMap<string, number>> {
  const totals = new Map<string, number>()
  for (let seed = seeds.from; seed < seeds.from + seeds.count; seed++) {
    const result = await runCrashSeed(seed)
    if (result.violation !== undefined) expect.fail(reportOf(result))
    for (const [what, count] of result.counts) totals.set(what, (totals.get(what) ?? 0) + count)
  }
  return totals
}

/** The first seed that finds something, within so many. */
export async function firstCrashFinding(
  seedsMax: number,
  seams: CrashSeams,
): Promise<CrashResult | undefined> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const result = await runCrashSeed(seed, seams)
    if (result.violation !== undefined) return result
  }
  return undefined
}

function reportOf({ seed, options, violation, lastLines }: CrashResult): string {
  return [
    `seed ${seed}: ${violation?.message ?? 'no violation'}`,
    `again: node scripts/crash.ts --seed ${seed}`,
    `options: ${JSON.stringify(options)}`,
    ...lastLines,
  ].join('\n')
}
