import { describe, expect, it } from 'vitest'
import { rememberBriefly } from '../../src/server/control/brief-memory.ts'
import { ManualClock } from '../replication/manual-clock.ts'

describe('a brief memory', () => {
  it('makes its thing once in its time, for all who ask', async () => {
    const clock = new ManualClock()
    let made = 0
    const ask = rememberBriefly({ clock, ms: 1000, make: async () => ++made })
    expect(await Promise.all([ask(), ask()])).toEqual([1, 1])
    clock.advance(999)
    expect(await ask()).toBe(1)
    clock.advance(1)
    expect(await ask()).toBe(2)
  })

  it('keeps no failure', async () => {
    const clock = new ManualClock()
    let asked = 0
    const ask = rememberBriefly({
      clock,
      ms: 1000,
      make: async () => {
        if (++asked === 1) throw new Error('not now')
        return asked
      },
    })
    await expect(ask()).rejects.toThrow('not now')
    expect(await ask()).toBe(2)
  })
})
