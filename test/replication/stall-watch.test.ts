import { afterEach, describe, expect, it } from 'vitest'
import { StallWatch } from '../../src/replication/send/stall-watch.ts'
import { ManualClock } from './manual-clock.ts'

const clock = new ManualClock()
const told: string[] = []
let behind = false
let watch: StallWatch | undefined
afterEach(() => {
  watch?.close()
  told.length = 0
  behind = false
})

function start(): StallWatch {
  watch = new StallWatch({
    clock,
    stallAfterMs: 1000,
    hasBacklog: () => behind,
    onStall: (since) => told.push(`stalled for ${clock.now() - since}`),
    onEnd: () => told.push('moves'),
  })
  return watch
}

describe('the watchdog of a link', () => {
  it('tells of a backlog that nothing is acknowledged of, once, and of its end', () => {
    const stalls = start()
    clock.advance(5000)
    behind = true
    stalls.look()
    clock.advance(900)
    stalls.look()
    expect(stalls.stalledSince).toBeUndefined()
    clock.advance(200)
    expect(told).toEqual(['stalled for 1000'])
    expect(stalls.stalledSince).toBe(clock.now() - 1100)
    clock.advance(5000)
    stalls.look()
    expect(told).toHaveLength(1)
    stalls.alive()
    expect(stalls.stalledSince).toBeUndefined()
    expect(told).toEqual(['stalled for 1000', 'moves'])
    clock.advance(1100)
    expect(told).toHaveLength(3)
  })

  it('stays quiet while something is acknowledged in time, however large the backlog', () => {
    const stalls = start()
    behind = true
    stalls.look()
    for (let i = 0; i < 10; i++) {
      clock.advance(700)
      stalls.alive()
    }
    expect(told).toEqual([])
  })

  it('ends with the backlog, and begins anew with the next one', () => {
    const stalls = start()
    behind = true
    stalls.look()
    clock.advance(1500)
    expect(told).toHaveLength(1)
    behind = false
    stalls.look()
    expect(told.at(-1)).toBe('moves')
    behind = true
    stalls.look()
    clock.advance(900)
    expect(stalls.stalledSince).toBeUndefined()
    clock.advance(200)
    expect(told).toHaveLength(3)
  })

  it('holds no timer once it is closed', () => {
    const stalls = start()
    behind = true
    stalls.look()
    stalls.close()
    clock.advance(5000)
    stalls.alive()
    clock.advance(5000)
    expect(told).toEqual([])
  })
})
