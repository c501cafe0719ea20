import { describe, expect, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

describe('sites in sync mode, simulated', () => {
  it('answer no write that the remote has not, through crashes, cuts and faults', {
    timeout: 120_000,
  }, async () => {
    const totals = await passSeeds({ from: 4001, count: 10 }, { twoWay: true, sync: true })
    for (const what of ['crash-power', 'crash-kill', 'answered', 'failed']) {
      expect(totals.get(what) ?? 0, what).toBeGreaterThan(0)
    }
  })

  it('answer no write that too few of two remotes have', { timeout: 120_000 }, async () => {
    await passSeeds({ from: 5001, count: 2 }, { sites: 3, twoWay: true, sync: true })
  })
})
