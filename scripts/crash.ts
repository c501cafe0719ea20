/**
 * Runs the crash suite from the command line:
 *
 *     node scripts/crash.ts --seed 42                 one seed, with the end of its trace if it fails
 *     node scripts/crash.ts --seed 1 --seeds 10000    that many seeds, stopping at the first that fails
 *
 * `--lines N` prints so much of a failing seed's trace, `--keep-going` does not stop at a failure.
 */
import { parseArgs } from 'node:util'
import { chooseCrashOptions } from '../src/sim/crash/crash-options.ts'
import { type CrashHost, runCrashes } from '../src/sim/crash/crash-run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    lines: { type: 'string', default: '60' },
    'keep-going': { type: 'boolean', default: false },
  },
})

const uncaught: unknown[] = []
process.on('unhandledRejection', (error) => uncaught.push(error))

/** Promises settle before the event loop turns: nothing simulated waits for anything real. */
const host: CrashHost = {
  settle: () => new Promise((resolve) => setImmediate(resolve)),
  takeUncaught: () => uncaught.shift(),
}

const first = Number(values.seed)
const count = Number(values.seeds)
const totals = new Map<string, number>()
for (let seed = first; seed < first + count; seed++) {
  const options = chooseCrashOptions(seed)
  const result = await runCrashes({ seed, options, host, lines: Number(values.lines) })
  for (const [what, times] of result.counts) totals.set(what, (totals.get(what) ?? 0) + times)
  if (count === 1) console.info(`seed ${seed}: hash ${result.hash}, ${JSON.stringify(options)}`)
  if (result.violation === undefined) continue
  console.info(result.lastLines.join('\n'))
  console.info(`options: ${JSON.stringify(options)}`)
  console.info(`seed ${seed} FAILED: ${result.violation.message}`)
  console.info(`again: node scripts/crash.ts --seed ${seed}`)
  process.exitCode = 1
  if (!values['keep-going']) break
}
console.info([...totals].map(([what, times]) => `${what} ${times}`).join(', '))
