import { describe, expect, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

const seedsInOneTest = 12
const troubles = ['crash-power', 'crash-kill', 'lost', 'warn', 'answered', 'call']

describe('a site that ships to another one, simulated', () => {
  it.for([1, 13])(
    'keeps every promise through crashes, cuts and faults: seeds from %i',
    { timeout: 120_000 },
    async (from) => {
      const totals = await passSeeds({ from, count: seedsInOneTest }, { twoWay: false })
      // That nothing is found means something only if things went wrong.
      for (const what of troubles) {
        expect(totals.get(what) ?? 0, what).toBeGreaterThan(0)
      }
    },
  )

  it('brings what is packed on the way as it was written', async () => {
    const totals = await passSeeds(
      { from: 6001, count: 5 },
      {
        change: (options) => ({
          ...options,
          packShare: 1,
          largeShare: 0.5,
          largeBytesMax: 20_000,
          replication: { ...options.replication, inlineLimit: 5000, rangeBytes: 4 * 2 ** 20 },
        }),
      },
    )
    for (const what of ['packed-batch', 'packed-body']) {
      expect(totals.get(what) ?? 0, what).toBeGreaterThan(0)
    }
  })
})
