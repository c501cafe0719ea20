/** `npm run test:simulation`; `SEED` and `SEEDS` in the environment say from which seed, and how many. */
import { test } from 'vitest'
import { passSeeds, type SeedOptions } from '../sim/run-seeds.ts'

const from = Number(process.env.SEED ?? Date.now() % 1_000_000)
const count = Number(process.env.SEEDS ?? 60)

const ways: readonly (readonly [name: string, how: SeedOptions])[] = [
  ['one of which is written', { twoWay: false }],
  ['both of which are written', { twoWay: true }],
  ['that keep what loses', { twoWay: true, keepBoth: true }],
  ['in sync mode', { twoWay: true, sync: true }],
  ['that hold deletes', { mistakes: true }],
  ['whose disks rot', { rot: true }],
  ['that are three', { sites: 3, twoWay: true }],
  ['in a chain of four', { sites: 4, twoWay: true, topology: 'chain' }],
  ['in a ring of five', { sites: 5, twoWay: true, topology: 'ring' }],
]

test.each(ways)('simulated sites %s keep every promise', async (_name, how) => {
  process.stderr.write(`again: SEED=${from} SEEDS=${count} npm run test:simulation\n`)
  await passSeeds({ from, count }, how)
})
