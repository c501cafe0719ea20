import { describe, expect, it } from 'vitest'
import type { Timer } from '../../src/base/clock.ts'
import {
  defaultReplicationOptions,
  type ReplicationOptions,
} from '../../src/replication/options.ts'
import { SendGuard } from '../../src/replication/send/send-guard.ts'
import type { FeedPlace } from '../../src/store/model/object-store.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import type { GuardMemory } from '../../src/store/model/take-guard.ts'
import type { Version } from '../../src/store/model/version.ts'
import { ManualClock } from './manual-clock.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

/** Its wall time can be set; what runs on goes by the other. */
class SettableClock extends ManualClock {
  #aheadMs = 0
  /** How early timers fire by the time that runs on, as those of the system do by fractions. */
  earlyMs = 0

  override now(): number {
    return super.now() + this.#aheadMs
  }

  override monotonic(): number {
    return super.now()
  }

  override after(ms: number, callback: () => void): Timer {
    return super.after(ms - this.earlyMs, callback)
  }

  override advance(ms: number): void {
    const aheadMs = this.#aheadMs
    this.#aheadMs = 0
    super.advance(ms)
    this.#aheadMs = aheadMs
  }

  shift(ms: number): void {
    this.#aheadMs += ms
  }
}

class Rig {
  readonly clock = new SettableClock()
  memory: GuardMemory = {
    ...{ windowSince: 0, removed: 0, base: 0 },
    ...{ dueThrough: 0, markThrough: 0, markSince: 0 },
  }
  readonly echoes = new Set<number>()
  dueCalls = 0
  head = 0
  guard: SendGuard
  readonly #limits: Partial<ReplicationOptions>

  constructor(limits: Partial<ReplicationOptions>) {
    this.#limits = limits
    this.guard = this.#make()
  }

  /** The process is started again: what the ledger keeps is still there. */
  restart(): void {
    this.guard.close()
    this.memory = { ...this.memory }
    this.guard = this.#make()
  }

  /** A change that was made so long ago. */
  judge(agoMs: number, removal?: { objects?: number; isDecided?: boolean; base?: number }) {
    const seq = ++this.head
    return this.judgeAt(seq, this.clock.now() - agoMs, removal)
  }

  judgeAt(
    seq: number,
    madeAt: number,
    removal?: { objects?: number; isDecided?: boolean; base?: number },
  ) {
    const stamp = `${Math.floor(madeAt).toString(16).padStart(12, '0')}0000`
    const place: FeedPlace = {
      seq,
      slot: objectSlot('b', `${seq}`),
      version: `${stamp}-site-a` as Version,
      bytes: 0,
      since: madeAt,
    }
    const full = removal && { objects: 1, isDecided: false, base: 100, ...removal }
    return this.guard.judge(place, full, this.memory)
  }

  #make(): SendGuard {
    return new SendGuard({
      limits: { ...defaultReplicationOptions, ...this.#limits },
      clock: this.clock,
      head: () => this.head,
      isEcho: ({ seq }) => this.echoes.has(seq),
      onDue: () => this.dueCalls++,
      onHeld: () => undefined,
    })
  }
}

const times = <T>(count: number, work: () => T): readonly T[] => Array.from({ length: count }, work)

describe('limits for deletes', () => {
  it('let puts and so many deletes pass, and hold what exceeds them', () => {
    const rig = new Rig({ maxDeleteCount: 3 })
    expect(times(3, () => rig.judge(0, {}))).toEqual(['take', 'take', 'take'])
    expect(rig.judge(0)).toBe('take')
    expect(rig.judge(0, {})).toBe('hold')
    expect(rig.judge(0, { isDecided: true })).toBe('take')
  })

  it('count a purge as the objects that it hides', () => {
    const rig = new Rig({ maxDeleteCount: 10 })
    expect(rig.judge(0, { objects: 11 })).toBe('hold')
    expect(rig.judge(0, { objects: 10 })).toBe('take')
    expect(rig.judge(0, { objects: 1 })).toBe('hold')
  })

  it('go by percent of the objects that there were when the window began', () => {
    const rig = new Rig({ maxDeletePercent: 10 })
    expect(times(2, () => rig.judge(0, { base: 20 }))).toEqual(['take', 'take'])
    // That there are more now changes nothing.
    expect(rig.judge(0, { base: 1000 })).toBe('hold')
  })

  it('begin anew with the next window, and hold nothing for having piled up during an outage', () => {
    const rig = new Rig({ maxDeleteCount: 2, deleteWindowMs: hour })
    const piledUp = [10, 9.5, 8, 7.5, 6, 5.9, 4, 3.9].map((hours) => rig.judge(hours * hour, {}))
    expect(piledUp).toEqual(Array.from({ length: 8 }, () => 'take'))
    expect(times(3, () => rig.judge(2 * hour, {}))).toEqual(['take', 'take', 'hold'])
    rig.clock.advance(day)
    expect(times(3, () => rig.judge(0, {}))).toEqual(['take', 'take', 'hold'])
  })

  it('remember over a restart what has passed', () => {
    const rig = new Rig({ maxDeleteCount: 3 })
    times(2, () => rig.judge(0, {}))
    rig.restart()
    expect([rig.judge(0, {}), rig.judge(0, {})]).toEqual(['take', 'hold'])
  })

  it('count nothing that the remote has deleted itself', () => {
    const rig = new Rig({ maxDeleteCount: 1 })
    for (let seq = 1; seq <= 5; seq++) rig.echoes.add(seq)
    expect(times(5, () => rig.judge(0, {}))).not.toContain('hold')
    expect([rig.judge(0, {}), rig.judge(0, {})]).toEqual(['take', 'hold'])
  })

  it('have a window that ends, whatever a clock does that was ahead for a while', () => {
    const rig = new Rig({ maxDeleteCount: 1, deleteWindowMs: hour })
    rig.clock.shift(365 * day)
    expect(rig.judge(0, {})).toBe('take')
    rig.clock.shift(-365 * day)
    expect(rig.judge(0, {})).toBe('hold')
    rig.clock.advance(2 * hour)
    expect(rig.judge(0, {})).toBe('take')
    // A stamp from the future counts as made now.
    expect(rig.judge(-30 * day, {})).toBe('hold')
  })
})

describe('a delay', () => {
  it('lets each change wait until it is so old, and tells when the oldest goes', () => {
    const rig = new Rig({ applyDelayMs: hour })
    expect(rig.judge(hour)).toBe('take')
    expect(rig.judge(20 * minute)).toBe('wait')
    expect(rig.guard.waitsUntil).toBe(rig.clock.now() + 40 * minute)
    expect(rig.guard.isWaiting(rig.memory)).toBe(true)
    rig.clock.advance(40 * minute)
    expect(rig.dueCalls).toBeGreaterThan(0)
    expect(rig.guard.isWaiting(rig.memory)).toBe(false)
    expect(rig.guard.waitsUntil).toBeUndefined()
    expect(rig.judge(hour)).toBe('take')
  })

  it('is looked at when its timer fires, were it a little early', () => {
    const rig = new Rig({ applyDelayMs: minute })
    rig.clock.earlyMs = 1
    expect(rig.judge(0)).toBe('wait')
    rig.clock.advance(minute - 1)
    expect(rig.dueCalls).toBe(1)
    expect(rig.guard.isWaiting(rig.memory)).toBe(false)
  })

  it('ends at once for what was released', () => {
    const rig = new Rig({ applyDelayMs: hour })
    expect(rig.judge(0)).toBe('wait')
    rig.memory.dueThrough = rig.head
    expect(rig.guard.isWaiting(rig.memory)).toBe(false)
    expect(rig.judgeAt(1, rig.clock.now())).toBe('take')
    expect(rig.judge(0)).toBe('wait')
  })

  it('never lasts longer than twice as long, whatever the stamps say, over restarts too', () => {
    const rig = new Rig({ applyDelayMs: hour })
    // The clock was a year ahead, and is right again: stamps go on from there.
    const future = rig.clock.now() + 365 * day
    rig.head = 5
    expect(rig.judgeAt(5, future)).toBe('wait')
    expect(rig.guard.waitsUntil).toBeLessThanOrEqual(rig.clock.now() + 2 * hour)
    for (let i = 0; i < 12; i++) {
      rig.clock.advance(10 * minute)
      rig.restart()
      rig.guard.isWaiting(rig.memory)
      rig.judgeAt(5, future)
    }
    expect(rig.judgeAt(5, future)).toBe('take')
  })

  it('begins anew, and ends, when the clock is set back', () => {
    const rig = new Rig({ applyDelayMs: hour })
    expect(rig.judge(0)).toBe('wait')
    const madeAt = rig.clock.now()
    rig.clock.shift(-30 * day)
    expect(rig.judgeAt(1, madeAt)).toBe('wait')
    rig.clock.advance(2 * hour)
    expect(rig.judgeAt(1, madeAt)).toBe('take')
  })
})
