/**
 * Runs the deterministic simulation from the command line:
 *
 *     node scripts/simulate.ts --seed 42                 one seed, with the end of its trace if it fails
 *     node scripts/simulate.ts --seed 1 --seeds 1000     that many seeds, stopping at the first that fails
 *
 * `--sites N` simulates more than two sites, `--topology mesh|chain|ring` says who ships to whom, `--one-way` and `--two-way` fix what the seed would
 * choose, `--keep-both` keeps what loses a conflict, `--sync` answers clients only when remotes have their writes, `--mistakes` gives links limits for deletes and delays, `--lines N` prints so much of a failing seed's trace, `--verbose` prints each seed's
 * options, `--keep-going` does not stop at a failure.
 */
import { parseArgs } from 'node:util'
import { type SimulationHost, type SimulationResult, simulate } from '../src/sim/simulator.ts'
import { chooseOptions, topologies } from '../src/sim/swarm.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    sites: { type: 'string', default: '2' },
    topology: { type: 'string', default: 'mesh' },
    'one-way': { type: 'boolean', default: false },
    'two-way': { type: 'boolean', default: false },
    sync: { type: 'boolean', default: false },
    mistakes: { type: 'boolean', default: false },
    lines: { type: 'string', default: '60' },
    'keep-both': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
})

const uncaught: unknown[] = []
process.on('unhandledRejection', (error) => uncaught.push(error))

/** Promises settle before the event loop turns: no simulated thing waits for anything real. */
const host: SimulationHost = {
  settle: () => new Promise((resolve) => setImmediate(resolve)),
  takeUncaught: () => uncaught.shift(),
}

const first = Number(values.seed)
const count = Number(values.seeds)
const sites = Number(values.sites)
const lines = Number(values.lines)
const isFixed = values['one-way'] || values['two-way']
const topology = topologies.find((name) => name === values.topology)
if (topology === undefined) throw new Error(`--topology is one of ${topologies.join(', ')}`)
const totals = new Map<string, number>()
for (let seed = first; seed < first + count; seed++) {
  const twoWay = isFixed ? values['two-way'] : undefined
  const keepBoth = values['keep-both'] ? true : undefined
  const sync = values.sync ? true : undefined
  const { mistakes } = values
  const options = chooseOptions(seed, { sites, topology, twoWay, keepBoth, sync, mistakes })
  if (values.verbose || count === 1) console.info(`seed ${seed}: ${JSON.stringify(options)}`)
  const result = await simulate({ seed, options, host, lines })
  for (const [what, times] of result.counts) totals.set(what, (totals.get(what) ?? 0) + times)
  if (values.verbose) console.info(summaryOf(result))
  if (result.violation === undefined) continue
  report(result)
  process.exitCode = 1
  if (!values['keep-going']) break
}
console.info([...totals].map(([what, times]) => `${what} ${times}`).join(', '))

function summaryOf({ seed, hash, events, virtualMs }: SimulationResult): string {
  return `seed ${seed}: hash ${hash}, ${events} events in ${Math.round(virtualMs)} simulated ms`
}

function report(result: SimulationResult): void {
  const { seed, options, violation, lastLines } = result
  console.info(lastLines.join('\n'))
  console.info(`options: ${JSON.stringify(options)}`)
  console.info(summaryOf(result))
  console.info(`seed ${seed} FAILED: ${violation?.message}`)
  const way = `--topology ${options.topology} ${options.twoWay ? '--two-way' : '--one-way'}`
  const sync = values.sync ? ' --sync' : ''
  const how = `${way}${sync}${values.mistakes ? ' --mistakes' : ''}`
  console.info(`again: node scripts/simulate.ts --seed ${seed} --sites ${options.sites} ${how}`)
}
