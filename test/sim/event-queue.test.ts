import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Chance } from '../../src/sim/chance.ts'
import { EventQueue } from '../../src/sim/event-queue.ts'
import { HardwareClock, SimClock } from '../../src/sim/sim-clock.ts'

describe('the event queue', () => {
  it('runs events in the order of their times, whatever order they came in', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50)), fc.nat(), (delays, seed) => {
        const queue = new EventQueue(new Chance(seed))
        const times: number[] = []
        for (const delay of delays) queue.after(delay, () => times.push(queue.time))
        while (queue.runNext());
        expect(times).toEqual([...delays].sort((a, b) => a - b))
      }),
    )
  })

  it('orders events of one moment by the seed', () => {
    const orderOf = (seed: number): string => {
      const queue = new EventQueue(new Chance(seed))
      let order = ''
      for (const name of 'abcdef') {
        queue.after(1, () => {
          order += name
        })
      }
      while (queue.runNext());
      return order
    }
    expect(orderOf(1)).toBe(orderOf(1))
    expect(new Set([1, 2, 3, 4, 5].map(orderOf)).size).toBeGreaterThan(1)
  })

  it('does not run what was cancelled', () => {
    const queue = new EventQueue(new Chance(1))
    queue.after(1, () => expect.fail('it was cancelled')).cancel()
    expect(queue.runNext()).toBe(false)
    expect(queue.time).toBe(0)
  })
})

describe('a simulated clock', () => {
  it('runs too fast, jumps, and never goes back in its monotonic time', () => {
    const queue = new EventQueue(new Chance(1))
    const hardware = new HardwareClock({ queue, skewMs: 500, drift: 0.5 })
    const right = new SimClock(new HardwareClock({ queue, skewMs: 0, drift: 0 }))
    const clock = new SimClock(hardware)
    expect(clock.now() - right.now()).toBe(500)
    queue.after(1000, () => undefined)
    queue.runNext()
    expect(clock.now() - right.now()).toBe(1000)
    expect(clock.monotonic()).toBe(1500)
    hardware.set(-70)
    expect(clock.now() - right.now()).toBe(-70)
    expect(clock.monotonic()).toBe(1500)
  })

  it('lets no timer of a process that has ended go off', () => {
    const queue = new EventQueue(new Chance(1))
    const clock = new SimClock(new HardwareClock({ queue, skewMs: 0, drift: 0 }))
    clock.after(5, () => expect.fail('its process is gone'))
    clock.stop()
    while (queue.runNext());
  })
})
