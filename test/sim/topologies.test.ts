import { describe, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

describe('sites in other arrangements, simulated', () => {
  it.for([
    ['chain', 3, false],
    ['chain', 4, true],
    ['ring', 3, true],
    ['ring', 5, true],
    ['mesh', 4, true],
  ] as const)(
    'keep every promise as a %s of %i, all of them written: %s',
    { timeout: 120_000 },
    async ([topology, sites, twoWay]) => {
      await passSeeds({ from: 1, count: 2 }, { topology, sites, twoWay })
    },
  )
})
