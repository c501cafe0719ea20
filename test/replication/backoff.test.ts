import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Backoff } from '../../src/base/backoff.ts'
import { seededRandom } from '../../src/base/random.ts'

test('pauses begin at 100 ms, double, and end at the limit, shortened by up to half', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const backoff = new Backoff({ random: seededRandom(seed), maxMs: 5000 })
      expect(backoff.fresh).toBe(true)
      for (const base of [100, 200, 400, 800, 1600, 3200, 5000, 5000]) {
        const pause = backoff.next()
        expect(pause).toBeGreaterThan(base / 2)
        expect(pause).toBeLessThanOrEqual(base)
      }
      expect(backoff.fresh).toBe(false)
      backoff.reset()
      expect(backoff.next()).toBeLessThanOrEqual(100)
    }),
  )
})
