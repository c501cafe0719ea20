import type { ByteBudget } from '../base/byte-budget.ts'

/**
 * What one transfer holds of the budget: more while its bytes move, less while its client stands
 * still. Nobody holds more than the whole budget, however small that is.
 */
export class HeldBytes {
  readonly #budget: ByteBudget
  #bytes = 0
  #released = false

  constructor(budget: ByteBudget) {
    this.#budget = budget
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Resolves when so many are held; undefined when that is at once. @throws as the budget does */
  growTo(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    return this.tryGrowTo(bytes) ? undefined : this.#waitFor(this.#missing(bytes), signal)
  }

  /** Whether so many are held, for which nobody was waited for. */
  tryGrowTo(bytes: number): boolean {
    const missing = this.#missing(bytes)
    if (missing > 0 && !this.#budget.tryAcquire(missing)) return false
    this.#bytes += missing
    return true
  }

  shrinkTo(bytes: number): void {
    if (bytes >= this.#bytes) return
    this.#budget.release(this.#bytes - bytes)
    this.#bytes = bytes
  }

  /** The end: what is still waited for comes to nothing. */
  release(): void {
    this.#released = true
    this.shrinkTo(0)
  }

  async #waitFor(bytes: number, signal: AbortSignal): Promise<void> {
    await this.#budget.acquire(bytes, { signal })
    if (this.#released) this.#budget.release(bytes)
    else this.#bytes += bytes
  }

  #missing(bytes: number): number {
    return Math.max(0, Math.min(bytes, this.#budget.capacityBytes) - this.#bytes)
  }
}
