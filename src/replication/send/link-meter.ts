import type { Clock } from '../../base/clock.ts'

const rateSlices = 10
const lagSlices = 12
const lagSliceMs = 5000
/** Eight buckets to a doubling: a percentile is at most 9% off. Up to 2^40 ms. */
const bucketsPerDoubling = 8
const bucketCount = 40 * bucketsPerDoubling

/** Acknowledgements per second over the last ten, and lag percentiles over the last minute. */
export class LinkMeter {
  readonly #clock: Clock
  readonly #rate = new SliceRing(rateSlices, 1000, () => ({ count: 0 }))
  readonly #lag = new SliceRing(lagSlices, lagSliceMs, () => new Uint32Array(bucketCount))
  readonly #startedAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAt = clock.monotonic()
  }

  /** One change was acknowledged, `lagMs` after it was made. */
  record(lagMs: number): void {
    const now = this.#clock.monotonic()
    this.#rate.at(now).count++
    const bucket = bucketOf(lagMs)
    const slice = this.#lag.at(now)
    slice[bucket] = (slice[bucket] ?? 0) + 1
  }

  ratePerSecond(): number {
    const now = this.#clock.monotonic()
    let total = 0
    for (const slice of this.#rate.recent(now)) total += slice.count
    const seconds = Math.min(rateSlices, Math.max(1, (now - this.#startedAt) / 1000))
    return total / seconds
  }

  /** Milliseconds for each wanted share (0.5, 0.99), null without samples. */
  lagPercentiles(shares: readonly number[]): readonly (number | null)[] {
    const sums = new Float64Array(bucketCount)
    let total = 0
    for (const slice of this.#lag.recent(this.#clock.monotonic())) {
      for (let i = 0; i < bucketCount; i++) {
        const count = slice[i] ?? 0
        sums[i] = (sums[i] ?? 0) + count
        total += count
      }
    }
    return shares.map((share) => (total === 0 ? null : percentile(sums, share * total)))
  }
}

function bucketOf(lagMs: number): number {
  const bucket = Math.floor(Math.log2(1 + Math.max(0, lagMs)) * bucketsPerDoubling)
  return Math.min(bucketCount - 1, bucket)
}

function percentile(sums: Float64Array, rank: number): number {
  let seen = 0
  for (let i = 0; i < sums.length; i++) {
    seen += sums[i] ?? 0
    if (seen >= rank && seen > 0) {
      const middle = 2 ** ((i + 0.5) / bucketsPerDoubling) - 1
      return middle < 10 ? Math.round(middle * 10) / 10 : Math.round(middle)
    }
  }
  return 0
}

/** The last `count` slices of time, made when first touched and dropped when they have passed. */
class SliceRing<S> {
  readonly #count: number
  readonly #sliceMs: number
  readonly #make: () => S
  readonly #slices = new Map<number, S>()

  constructor(count: number, sliceMs: number, make: () => S) {
    this.#count = count
    this.#sliceMs = sliceMs
    this.#make = make
  }

  at(now: number): S {
    const number = Math.floor(now / this.#sliceMs)
    let slice = this.#slices.get(number)
    if (slice === undefined) {
      this.#dropBefore(number - this.#count + 1)
      slice = this.#make()
      this.#slices.set(number, slice)
    }
    return slice
  }

  recent(now: number): IterableIterator<S> {
    this.#dropBefore(Math.floor(now / this.#sliceMs) - this.#count + 1)
    return this.#slices.values()
  }

  #dropBefore(first: number): void {
    for (const number of this.#slices.keys()) {
      if (number < first) this.#slices.delete(number)
    }
  }
}
