/** The clocks of a site: hardware that runs a little wrong and jumps, and one process's view of it. */
import type { Clock, Timer } from '../base/clock.ts'
import type { EventQueue } from './event-queue.ts'

/** When every run begins, by a clock that is right: 2025-01-01, wall ms. */
const startWall = 1_735_689_600_000

/** As with Node's own timers: none goes off sooner. */
const timerMsMin = 1

export interface HardwareClockOptions {
  readonly queue: EventQueue
  /** How far wall time is off at the beginning, ms. */
  readonly skewMs: number
  /** How much too fast it runs: 0.001 gains a second in a thousand. */
  readonly drift: number
}

/** A machine's clock: it outlives the processes on it. */
export class HardwareClock {
  readonly #queue: EventQueue
  readonly #rate: number
  #skewMs: number

  constructor(options: HardwareClockOptions) {
    this.#queue = options.queue
    this.#rate = 1 + options.drift
    this.#skewMs = options.skewMs
  }

  get wall(): number {
    return Math.floor(startWall + this.#skewMs + this.elapsed)
  }

  /** Ms since the beginning, by this clock. */
  get elapsed(): number {
    return this.#queue.time * this.#rate
  }

  /** Somebody sets the clock: from here on it is so far ahead of the right time, plus its drift. */
  set(aheadMs: number): void {
    this.#skewMs = aheadMs + this.#queue.time - this.elapsed
  }

  after(ms: number, run: () => void): Timer {
    return this.#queue.after(Math.max(timerMsMin, ms) / this.#rate, run)
  }
}

/** The clock as one process has it: its timers end with it. */
export class SimClock implements Clock {
  readonly #hardware: HardwareClock
  #running = true

  constructor(hardware: HardwareClock) {
    this.#hardware = hardware
  }

  now(): number {
    return this.#hardware.wall
  }

  monotonic(): number {
    return this.#hardware.elapsed
  }

  after(ms: number, callback: () => void): Timer {
    return this.#hardware.after(ms, () => {
      if (this.#running) callback()
    })
  }

  /** The process is gone. */
  stop(): void {
    this.#running = false
  }
}
