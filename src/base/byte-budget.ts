/**
 * One budget for bytes in flight. Who wants to hold bytes acquires them first, waits in a bounded
 * first-in, first-out queue while they are not there, and is refused when that queue is full or the
 * wait too long. Waiters keep their sockets paused, so memory stays bounded whatever clients do.
 */
import { assert } from './assert.ts'
import type { Clock, Timer } from './clock.ts'
import { ComioError } from './errors.ts'

/** More bytes are in flight than the budget allows, and enough others wait already. */
export class BudgetExhaustedError extends ComioError {
  readonly code = 'BUDGET_EXHAUSTED'
}

/** The waiting was given up by its own signal. */
export class BudgetWaitAbortedError extends ComioError {
  readonly code = 'BUDGET_WAIT_ABORTED'
}

export interface ByteBudgetOptions {
  readonly clock: Clock
  /** How many bytes may be held at once. */
  readonly capacityBytes: number
  /** How many may wait; the next one is refused. */
  readonly waitersMax?: number
  /** How long one may wait before it is refused. */
  readonly waitMsMax?: number
}

interface Waiter {
  readonly bytes: number
  grant(): void
}

const defaultWaitersMax = 1024
const defaultWaitMsMax = 10_000

export class ByteBudget {
  readonly capacityBytes: number
  readonly #clock: Clock
  readonly #waitersMax: number
  readonly #waitMsMax: number
  /** Insertion order is the order of service. */
  readonly #waiters = new Set<Waiter>()
  #heldBytes = 0

  constructor(options: ByteBudgetOptions) {
    assert(options.capacityBytes > 0, 'a budget holds something')
    this.capacityBytes = options.capacityBytes
    this.#clock = options.clock
    this.#waitersMax = options.waitersMax ?? defaultWaitersMax
    this.#waitMsMax = options.waitMsMax ?? defaultWaitMsMax
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /** Takes `bytes` at once if they are there and nobody waits: the path without a promise. */
  tryAcquire(bytes: number): boolean {
    assert(bytes >= 0 && bytes <= this.capacityBytes, 'more bytes wanted than the budget ever has')
    if (this.#waiters.size > 0 || this.#heldBytes + bytes > this.capacityBytes) return false
    this.#heldBytes += bytes
    return true
  }

  /**
   * Resolves when `bytes` (at most the capacity) are held; `release` gives them back.
   * @throws BudgetExhaustedError when too many wait already, or the wait took too long
   * @throws BudgetWaitAbortedError when `signal` aborts first
   */
  async acquire(bytes: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (options.signal?.aborted) throw waitAborted()
    if (this.tryAcquire(bytes)) return
    if (this.#waiters.size >= this.#waitersMax) throw this.#exhausted(bytes)
    await this.#wait(bytes, options.signal)
  }

  /** Gives back what was acquired, and serves those who wait. */
  release(bytes: number): void {
    this.#heldBytes -= bytes
    assert(this.#heldBytes >= 0, 'more bytes released than acquired')
    if (this.#waiters.size > 0) this.#serve()
  }

  #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter)
        timer.cancel()
        signal?.removeEventListener('abort', abort)
      }
      const giveUp = (reason: ComioError): void => {
        leave()
        reject(reason)
        // Whoever stood behind a large wish may fit now.
        this.#serve()
      }
      const abort = (): void => giveUp(waitAborted())
      const waiter: Waiter = {
        bytes,
        grant() {
          leave()
          resolve()
        },
      }
      const timer: Timer = this.#clock.after(this.#waitMsMax, () => giveUp(this.#exhausted(bytes)))
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiters.add(waiter)
    })
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      if (this.#heldBytes + waiter.bytes > this.capacityBytes) return
      this.#heldBytes += waiter.bytes
      waiter.grant()
    }
  }

  #exhausted(bytes: number): BudgetExhaustedError {
    return new BudgetExhaustedError('the budget of bytes in flight is exhausted', {
      hint: 'Try again in a moment, with fewer requests at once.',
      facts: { wanted: bytes, held: this.#heldBytes, waiting: this.#waiters.size },
    })
  }
}

function waitAborted(): BudgetWaitAbortedError {
  return new BudgetWaitAbortedError('waiting for bytes in flight was given up')
}
