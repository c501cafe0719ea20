/** `npm run test:faults`; `SEED` and `KILLS` in the environment say from which seed, and how often. */
import { afterEach, beforeEach, test } from 'vitest'
import { TestBed } from '../e2e/site-process.ts'
import { runFaults } from '../faults/fault-run.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('two sites lose nothing and end equal, though either is killed fifty times under load, over a network that does its worst', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 100_000)
  const kills = Number(process.env.KILLS ?? 50)
  process.stderr.write(`again: SEED=${seed} KILLS=${kills} npm run test:faults\n`)
  const options = { seed, kills, killsBetweenLooks: 10, afterHalfOpen: 'silence' } as const
  const summary = await runFaults(bed, options)
  process.stderr.write(`${JSON.stringify(summary)}\n`)
})
