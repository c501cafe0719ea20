import type { Clock, Timer } from '../base/clock.ts'

/** A transfer that must go on. */
export interface WatchedTransfer {
  /** By the watch's `now()`, when bytes last moved. */
  progressAt: number
  /** Called once when nothing has moved for the idle time. */
  stalled(): void
}

/**
 * Finds transfers that stand still, with one timer for all of them: a timer for each would cost more
 * than the small requests that it guards. A stall is noticed at most a quarter late.
 */
export class ProgressWatch {
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #transfers = new Set<WatchedTransfer>()
  #timer: Timer | undefined

  constructor(options: { readonly clock: Clock; readonly idleMs: number }) {
    this.#clock = options.clock
    this.#idleMs = options.idleMs
  }

  now(): number {
    return this.#clock.monotonic()
  }

  add(transfer: WatchedTransfer): void {
    this.#transfers.add(transfer)
    this.#timer ??= this.#arm()
  }

  remove(transfer: WatchedTransfer): void {
    this.#transfers.delete(transfer)
  }

  #arm(): Timer {
    return this.#clock.after(this.#idleMs / 4, () => this.#sweep())
  }

  #sweep(): void {
    const limit = this.now() - this.#idleMs
    for (const transfer of this.#transfers) {
      if (transfer.progressAt > limit) continue
      this.#transfers.delete(transfer)
      transfer.stalled()
    }
    // Without transfers no timer stays behind.
    this.#timer = this.#transfers.size === 0 ? undefined : this.#arm()
  }
}
