import { expect, it } from 'vitest'
import { passSeeds } from './run-seeds.ts'

it('no client reads a wrong byte from disks that turn bits over, simulated', {
  timeout: 60_000,
}, async () => {
  const totals = await passSeeds({ from: 3001, count: 40 }, { rot: true })
  expect(totals.get('rot') ?? 0).toBeGreaterThan(100)
  // Rot was met: by a reader, who was told, or by a site that refused to start on it.
  expect((totals.get('damaged') ?? 0) + (totals.get('start-failed') ?? 0)).toBeGreaterThan(0)
})
