/**
 * Latencies in logarithmic buckets: memory stays the same however many are recorded, and every
 * quantile is within one percent of the exact one. Two histograms merge without further loss.
 */
import { assert } from '../base/assert.ts'

const growth = 1.02
const logGrowth = Math.log(growth)
/** Everything below counts as this: a nanosecond when values are milliseconds. */
const smallest = 1e-6
/** Up to 11 days in milliseconds; what is beyond lands in the last bucket. */
const bucketCount = 1 + Math.ceil(Math.log(1e9 / smallest) / logGrowth)

export class Histogram {
  readonly #counts = new Float64Array(bucketCount)
  #count = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0

  get count(): number {
    return this.#count
  }

  /** The largest value, exactly; undefined when there is none. */
  get max(): number | undefined {
    return this.#count === 0 ? undefined : this.#max
  }

  /** @param value not negative */
  record(value: number): void {
    assert(value >= 0, 'a histogram takes no negative values')
    const bucket = bucketOf(value)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#count++
    if (value < this.#min) this.#min = value
    if (value > this.#max) this.#max = value
  }

  merge(other: Histogram): void {
    for (let i = 0; i < bucketCount; i++) {
      this.#counts[i] = (this.#counts[i] ?? 0) + (other.#counts[i] ?? 0)
    }
    this.#count += other.#count
    this.#min = Math.min(this.#min, other.#min)
    this.#max = Math.max(this.#max, other.#max)
  }

  /** The smallest value that at least `fraction` of all values do not exceed; undefined without any. */
  quantile(fraction: number): number | undefined {
    assert(fraction >= 0 && fraction <= 1, 'a quantile is a fraction')
    if (this.#count === 0) return undefined
    const rank = Math.max(1, Math.ceil(fraction * this.#count))
    let seen = 0
    for (let i = 0; i < bucketCount; i++) {
      seen += this.#counts[i] ?? 0
      if (seen >= rank) return Math.min(this.#max, Math.max(this.#min, middleOf(i)))
    }
    return this.#max
  }
}

function bucketOf(value: number): number {
  if (value <= smallest) return 0
  return Math.min(bucketCount - 1, Math.ceil(Math.log(value / smallest) / logGrowth))
}

/** The geometric middle of a bucket: at most 1% away from both of its ends. */
function middleOf(bucket: number): number {
  return smallest * growth ** (bucket - 0.5)
}
