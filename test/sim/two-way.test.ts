import { describe, expect, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

const seedsInOneTest = 12
const troubles = ['crash-power', 'crash-kill', 'lost', 'warn', 'answered', 'call']

describe('sites that are written to on all sides, simulated', () => {
  it.for([1001, 1041])(
    'come to hold the same through crashes, cuts and faults: seeds from %i',
    { timeout: 120_000 },
    async (from) => {
      const totals = await passSeeds({ from, count: seedsInOneTest }, { twoWay: true })
      const some = ['get-elsewhere', 'cleaned-log', 'cleaned-bulk']
      for (const what of [...troubles, ...some]) {
        expect(totals.get(what) ?? 0, what).toBeGreaterThan(0)
      }
    },
  )

  it('keep and list every write that lost, where both are kept', { timeout: 120_000 }, async () => {
    const totals = await passSeeds({ from: 3001, count: 12 }, { twoWay: true, keepBoth: true })
    for (const winner of ['put', 'delete', 'purge']) {
      expect(totals.get(`conflict-kept-${winner}`) ?? 0, winner).toBeGreaterThan(0)
    }
  })

  it('come to hold the same when there are three', { timeout: 120_000 }, async () => {
    await passSeeds({ from: 2001, count: 8 }, { sites: 3, twoWay: true })
  })
})
