import { expect, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

it.for([{ twoWay: false }, { twoWay: true }])(
  'links that hold deletes and delay changes come to the same once all is released: %o',
  { timeout: 120_000 },
  async (how) => {
    const totals = await passSeeds({ from: 5001, count: 4 }, { ...how, mistakes: true })
    expect(totals.get('release') ?? 0).toBeGreaterThan(0)
  },
)
