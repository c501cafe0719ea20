import type { Random } from './random.ts'

const firstMs = 100

/** Pauses that begin at 100 ms and double up to a limit, each shortened by up to half at random. */
export class Backoff {
  readonly #random: Random
  readonly #maxMs: number
  #baseMs = 0

  constructor(options: { readonly random: Random; readonly maxMs: number }) {
    this.#random = options.random
    this.#maxMs = options.maxMs
  }

  /** True until the first pause was handed out, and again after a reset. */
  get fresh(): boolean {
    return this.#baseMs === 0
  }

  /** The next pause, milliseconds. */
  next(): number {
    this.#baseMs = Math.min(this.#maxMs, this.#baseMs === 0 ? firstMs : this.#baseMs * 2)
    return this.#baseMs * (1 - this.#random.fraction() / 2)
  }

  reset(): void {
    this.#baseMs = 0
  }
}
