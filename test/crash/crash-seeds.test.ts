/** The crash suite in its short form; `npm run test:crash` runs ten thousand seeds. */
import { expect, test } from 'vitest'
import { passCrashSeeds, runCrashSeed } from './run-crash-seeds.ts'

test('a site that crashes at any step has every answered write, none in halves, and counts that agree', async () => {
  const totals = await passCrashSeeds({ from: 1, count: 30 })
  const happened = (what: string): number => totals.get(what) ?? 0
  // The suite is worth it: all of this happens, again and again.
  expect(happened('crash-power')).toBeGreaterThan(40)
  expect(happened('crash-kill')).toBeGreaterThan(10)
  expect(happened('start-failed')).toBeGreaterThan(5)
  expect(happened('failed')).toBeGreaterThan(40)
  expect(happened('STORAGE_FULL')).toBeGreaterThan(10)
  expect(happened('answered')).toBeGreaterThan(1000)
})

// In the first the log had two blocks left when the last segment went to copies of chunks; in the second
// a start had taken it, and what was free was less than a segment in one piece.
test.each([30_896, 30_335])(
  'everything can be deleted on a small volume that was full when it crashed (seed %i)',
  async (seed) => {
    expect((await runCrashSeed(seed)).violation).toBeUndefined()
  },
)

test('a seed gives the same run again', async () => {
  const [first, second] = [await runCrashSeed(7), await runCrashSeed(7)]
  expect(second.hash).toBe(first.hash)
})
