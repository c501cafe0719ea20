/** Decisions drawn from one seeded stream. */
import { assert } from '../base/assert.ts'
import { checksum } from '../base/checksum.ts'
import { type Random, randomBelow, seededRandom } from '../base/random.ts'

export class Chance implements Random {
  readonly #seed: number
  readonly #random: Random

  constructor(seed: number) {
    this.#seed = seed >>> 0
    this.#random = seededRandom(this.#seed)
  }

  /** A stream of its own, so that what one part draws does not change what another one gets. */
  fork(name: string): Chance {
    const seed = Buffer.alloc(4)
    seed.writeUInt32LE(this.#seed)
    return new Chance(checksum(Buffer.from(name), checksum(seed)))
  }

  bytes(count: number): Uint8Array {
    return this.#random.bytes(count)
  }

  fraction(): number {
    return this.#random.fraction()
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    return randomBelow(this.#random, limit)
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True with this probability; a probability of 0 draws nothing. */
  hits(probability: number): boolean {
    return probability > 0 && this.fraction() < probability
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)]
    assert(choice !== undefined, 'there is something to choose from')
    return choice
  }

  /** A waiting time with this mean: mostly short, sometimes many times longer. */
  around(mean: number): number {
    return mean === 0 ? 0 : -Math.log(1 - this.fraction()) * mean
  }
}
