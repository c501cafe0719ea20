/**
 * How fast the cleaner goes: at most so many bytes a second, and never more than half of the time,
 * so that clients get the disk. Somebody who waits for room ends every pause.
 */
import { type Clock, delay } from '../../base/clock.ts'

export interface PaceOptions {
  readonly clock: Clock
  /** Bytes per second; 0 for no limit. */
  readonly rate: number
  /** Ends all pauses for good. */
  readonly signal: AbortSignal
}

export class Pace {
  readonly #options: PaceOptions
  #stepBegan: number
  #pause: AbortController | undefined

  constructor(options: PaceOptions) {
    this.#options = options
    this.#stepBegan = options.clock.monotonic()
  }

  /** The first step of a segment begins. */
  begin(): void {
    this.#stepBegan = this.#options.clock.monotonic()
  }

  /** A step has moved `bytes`: resolves when the next one may begin. */
  async step(bytes: number, { isUrgent }: { readonly isUrgent: boolean }): Promise<void> {
    const { clock, rate, signal } = this.#options
    const tookMs = clock.monotonic() - this.#stepBegan
    const dueMs = rate === 0 ? 0 : (bytes * 1000) / rate
    const pauseMs = Math.max(tookMs, dueMs - tookMs)
    if (!isUrgent && !signal.aborted && pauseMs > 0) {
      this.#pause = new AbortController()
      await delay(clock, pauseMs, AbortSignal.any([signal, this.#pause.signal]))
      this.#pause = undefined
    }
    this.#stepBegan = clock.monotonic()
  }

  /** The pause under way ends now. */
  hurry(): void {
    this.#pause?.abort()
  }
}
