import { describe, expect, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

const seedsInOneTest = 20

describe('a site that ships to another one, simulated', () => {
  it.for([1, 21, 41])(
    'keeps every promise through crashes, cuts and faults: seeds from %i',
    { timeout: 120_000 },
    async (from) => {
      const totals = await passSeeds({ from, count: seedsInOneTest }, { twoWay: false })
      // That nothing is found means something only if things went wrong.
      for (const what of ['crash-power', 'crash-kill', 'lost', 'warn', 'answered', 'call']) {
        expect(totals.get(what) ?? 0, what).toBeGreaterThan(0)
      }
    },
  )
})
