import { describe, expect, it } from 'vitest'
import { type Clock, delay, systemClock } from '../../src/base/clock.ts'
import { randomBelow, seededRandom } from '../../src/base/random.ts'

describe('delay', () => {
  it('ends at once when its signal aborts, and leaves no timer behind', async () => {
    let cancelled = 0
    const clock: Clock = { ...systemClock, after: () => ({ cancel: () => cancelled++ }) }
    const abort = new AbortController()
    const waiting = delay(clock, 1e9, abort.signal)
    abort.abort()
    await waiting
    expect(cancelled).toBe(1)
    await delay(clock, 1e9, abort.signal)
  })

  it('ends when its time has come', async () => {
    let fire: (() => void) | undefined
    const clock: Clock = {
      ...systemClock,
      after: (_ms, callback) => {
        fire = callback
        return { cancel: () => undefined }
      },
    }
    const waiting = delay(clock, 5)
    fire?.()
    await expect(waiting).resolves.toBeUndefined()
  })
})

describe('seeded randomness', () => {
  it('repeats from its seed and differs between seeds', () => {
    const draw = (seed: number) => Array.from({ length: 8 }, () => seededRandom(seed).fraction())
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
    expect(seededRandom(3).bytes(16)).toEqual(seededRandom(3).bytes(16))
  })

  it('stays below its limit and reaches every number under it', () => {
    const random = seededRandom(7)
    const seen = new Set(Array.from({ length: 500 }, () => randomBelow(random, 5)))
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4])
  })
})
