import { describe, expect, it } from 'vitest'
import { runSeed } from './run-seeds.ts'

describe('the simulation', () => {
  it.for([3, 7, 12])('does the same again from the same seed: %i', async (seed) => {
    const once = await runSeed(seed)
    const again = await runSeed(seed)
    expect(again.hash).toBe(once.hash)
    expect(again.events).toBe(once.events)
    expect(again.virtualMs).toBe(once.virtualMs)
    expect(again.lastLines).toEqual(once.lastLines)
  })

  it('does something else from another seed', async () => {
    const hashes = new Set<string>()
    for (const seed of [1, 2, 3, 4]) hashes.add((await runSeed(seed)).hash)
    expect(hashes.size).toBe(4)
  })
})
