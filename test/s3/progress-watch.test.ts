import { describe, expect, it } from 'vitest'
import { ProgressWatch, type WatchedTransfer } from '../../src/s3/progress-watch.ts'
import { ManualClock } from './manual-clock.ts'

function setUp() {
  const clock = new ManualClock()
  const watch = new ProgressWatch({ clock, idleMs: 60_000 })
  const stalled: string[] = []
  const begin = (name: string): WatchedTransfer => {
    const transfer = { progressAt: watch.now(), stalled: () => stalled.push(name) }
    watch.add(transfer)
    return transfer
  }
  return { clock, watch, stalled, begin }
}

describe('ProgressWatch', () => {
  it('finds the transfer that stands still, and only that one', () => {
    const { clock, watch, stalled, begin } = setUp()
    const moving = begin('moving')
    begin('standing')
    const done = begin('done')
    watch.remove(done)
    for (let second = 0; second < 75; second++) {
      clock.advance(1000)
      moving.progressAt = watch.now()
    }
    expect(stalled).toEqual(['standing'])
  })

  it('is not early, and at most a quarter late', () => {
    const { clock, stalled, begin } = setUp()
    begin('late')
    clock.advance(59_999)
    expect(stalled).toEqual([])
    clock.advance(15_001)
    expect(stalled).toEqual(['late'])
  })

  it('keeps no timer without transfers, and one for many', () => {
    const { clock, watch, begin } = setUp()
    const transfers = Array.from({ length: 100 }, (_, i) => begin(String(i)))
    expect(clock.armed).toBe(1)
    for (const transfer of transfers) watch.remove(transfer)
    clock.advance(60_000)
    expect(clock.armed).toBe(0)
    begin('again')
    expect(clock.armed).toBe(1)
  })
})
