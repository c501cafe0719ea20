import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BudgetExhaustedError,
  BudgetWaitAbortedError,
  ByteBudget,
} from '../../src/base/byte-budget.ts'
import type { Clock } from '../../src/base/clock.ts'

/** A clock whose timers fire when told to. */
function manualClock(): Clock & { fire(): void; readonly armed: number } {
  const timers = new Set<() => void>()
  return {
    now: () => 0,
    monotonic: () => 0,
    after(_ms, callback) {
      const entry = (): void => callback()
      timers.add(entry)
      return { cancel: () => void timers.delete(entry) }
    },
    fire() {
      for (const timer of [...timers]) {
        timers.delete(timer)
        timer()
      }
    },
    get armed() {
      return timers.size
    },
  }
}

describe('ByteBudget', () => {
  it('grants at once while there is room and counts what is held', async () => {
    const budget = new ByteBudget({ clock: manualClock(), capacityBytes: 100 })
    expect(budget.tryAcquire(60)).toBe(true)
    expect(budget.tryAcquire(60)).toBe(false)
    await budget.acquire(40)
    expect(budget.heldBytes).toBe(100)
    budget.release(60)
    budget.release(40)
    expect(budget.heldBytes).toBe(0)
  })

  it('serves waiters in the order they came, a large one before a later small one', async () => {
    const budget = new ByteBudget({ clock: manualClock(), capacityBytes: 100 })
    await budget.acquire(90)
    const order: string[] = []
    const large = budget.acquire(80).then(() => order.push('large'))
    const small = budget.acquire(5).then(() => order.push('small'))
    expect(budget.tryAcquire(1)).toBe(false)
    budget.release(90)
    await Promise.all([large, small])
    expect(order).toEqual(['large', 'small'])
    expect(budget.heldBytes).toBe(85)
  })

  it('refuses the next one when the queue is full', async () => {
    const budget = new ByteBudget({ clock: manualClock(), capacityBytes: 10, waitersMax: 1 })
    await budget.acquire(10)
    const waiting = budget.acquire(1)
    await expect(budget.acquire(1)).rejects.toBeInstanceOf(BudgetExhaustedError)
    budget.release(10)
    await waiting
  })

  it('refuses a waiter whose time is over and then serves those behind it', async () => {
    const clock = manualClock()
    const budget = new ByteBudget({ clock, capacityBytes: 10 })
    await budget.acquire(5)
    const large = budget.acquire(10)
    clock.fire()
    await expect(large).rejects.toBeInstanceOf(BudgetExhaustedError)
    expect(clock.armed).toBe(0)
    expect(budget.tryAcquire(5)).toBe(true)
  })

  it('lets a waiter go when its signal aborts, and lets the next one through', async () => {
    const clock = manualClock()
    const budget = new ByteBudget({ clock, capacityBytes: 10 })
    await budget.acquire(5)
    const gone = new AbortController()
    const large = budget.acquire(10, { signal: gone.signal })
    const small = budget.acquire(5)
    gone.abort()
    await expect(large).rejects.toBeInstanceOf(BudgetWaitAbortedError)
    await small
    expect(budget.waiting).toBe(0)
    expect(clock.armed).toBe(0)
    await expect(budget.acquire(1, { signal: gone.signal })).rejects.toBeInstanceOf(
      BudgetWaitAbortedError,
    )
  })

  it('never holds more than its capacity and loses nobody, whatever the order of events', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 40 }),
        async (sizes) => {
          const budget = new ByteBudget({ clock: manualClock(), capacityBytes: 50 })
          let done = 0
          await Promise.all(
            sizes.map(async (bytes) => {
              await budget.acquire(bytes)
              expect(budget.heldBytes).toBeLessThanOrEqual(50)
              await Promise.resolve()
              budget.release(bytes)
              done++
            }),
          )
          expect(done).toBe(sizes.length)
          expect(budget.heldBytes).toBe(0)
        },
      ),
    )
  })
})
