import { assert } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'

interface Waiter {
  readonly bytes: number
  go(): void
}

/** So much may be sent at once after a pause: short, so that a link is used evenly. */
const burstMs = 100
/** What goes out at a time is sent in a twentieth of a second, within these. */
const piecesPerSecond = 20
const pieceBytesMin = 1024
const pieceBytesMax = 64 * 1024

/**
 * How fast one remote may be sent to: who sends spends its bytes first, and waits while they are not
 * there. What is urgent (batches) goes before what is not (the bytes of large objects), so that small
 * changes keep their pace beside a large object.
 */
export class Bandwidth {
  readonly #clock: Clock
  readonly #urgent: Waiter[] = []
  readonly #patient: Waiter[] = []
  #bytesPerSecond: number
  /** What may be sent now; below zero is what was sent ahead of time. */
  #level: number
  #levelAt: number
  #timer: Timer | undefined

  /** @param bytesPerSecond 0 for no limit */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
    this.#level = (burstMs / 1000) * bytesPerSecond
    this.#levelAt = clock.monotonic()
  }

  get isLimited(): boolean {
    return this.#bytesPerSecond > 0
  }

  /** How many bytes to spend at a time. */
  get pieceBytes(): number {
    if (!this.isLimited) return pieceBytesMax
    const even = Math.floor(this.#bytesPerSecond / piecesPerSecond)
    return Math.min(pieceBytesMax, Math.max(pieceBytesMin, even))
  }

  /** Holds from now on, also for those who wait. 0 for no limit. */
  change(bytesPerSecond: number): void {
    this.#refill()
    this.#bytesPerSecond = bytesPerSecond
    this.#level = Math.max(this.#level, -pieceBytesMax)
    this.#serve()
  }

  /** Resolves when `bytes` may be sent, at once when there is no limit; also when `signal` aborts. */
  async spend(
    bytes: number,
    options: { readonly urgent: boolean; readonly signal?: AbortSignal },
  ): Promise<void> {
    if (!this.isLimited || options.signal?.aborted) return
    const { urgent, signal } = options
    const queue = urgent ? this.#urgent : this.#patient
    await new Promise<void>((resolve) => {
      const leave = (): void => {
        const at = queue.indexOf(waiter)
        if (at >= 0) queue.splice(at, 1)
        waiter.go()
        this.#serve()
      }
      const waiter: Waiter = {
        bytes,
        go() {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      signal?.addEventListener('abort', leave, { once: true })
      queue.push(waiter)
      this.#serve()
    })
  }

  #serve(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#refill()
    for (;;) {
      if (this.isLimited && this.#level <= 0) break
      const waiter = this.#urgent.shift() ?? this.#patient.shift()
      if (waiter === undefined) return
      if (this.isLimited) this.#level -= waiter.bytes
      waiter.go()
    }
    if (this.#urgent.length + this.#patient.length === 0) return
    assert(this.#bytesPerSecond > 0, 'only a limit makes anybody wait')
    const pauseMs = Math.ceil((1000 * (1 - this.#level)) / this.#bytesPerSecond)
    this.#timer = this.#clock.after(pauseMs, () => this.#serve())
  }

  #refill(): void {
    const now = this.#clock.monotonic()
    const earned = ((now - this.#levelAt) / 1000) * this.#bytesPerSecond
    const levelMax = (burstMs / 1000) * this.#bytesPerSecond
    this.#level = Math.min(levelMax, this.#level + earned)
    this.#levelAt = now
  }
}
