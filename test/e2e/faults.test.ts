/** The short form of `npm run test:faults`. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runFaults } from '../faults/fault-run.ts'
import { TestBed } from './site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('two sites that are killed under load, over a network that does its worst, lose nothing and end equal', async () => {
  const summary = await runFaults(bed, {
    seed: 4,
    kills: 6,
    killsBetweenLooks: 6,
    afterHalfOpen: 'reset',
  })
  expect(summary.writes).toBeGreaterThan(0)
  for (const what of ['resets', 'replayed', 'conflicts'] as const) {
    expect(summary[what], what).toBeGreaterThan(0)
  }
})
