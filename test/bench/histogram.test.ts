import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Histogram } from '../../src/bench/histogram.ts'

const latencies = fc.array(fc.double({ min: 1e-3, max: 1e7, noNaN: true }), {
  minLength: 1,
  maxLength: 400,
})

function filled(values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

function exactQuantile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(1, Math.ceil(fraction * sorted.length)) - 1] ?? Number.NaN
}

describe('Histogram', () => {
  test('every quantile is within 1.1% of the exact one, and the maximum is exact', () => {
    fc.assert(
      fc.property(latencies, fc.constantFrom(0, 0.5, 0.9, 0.99, 1), (values, fraction) => {
        const histogram = filled(values)
        const exact = exactQuantile(values, fraction)
        const estimate = histogram.quantile(fraction) ?? Number.NaN
        expect(Math.abs(estimate - exact)).toBeLessThanOrEqual(0.011 * exact)
        expect(histogram.max).toBe(Math.max(...values))
        expect(histogram.count).toBe(values.length)
      }),
    )
  })

  test('merging two is the same as recording everything in one', () => {
    fc.assert(
      fc.property(latencies, latencies, (left, right) => {
        const merged = filled(left)
        merged.merge(filled(right))
        const whole = filled([...left, ...right])
        for (const fraction of [0, 0.5, 0.9, 0.99, 1]) {
          expect(merged.quantile(fraction)).toBe(whole.quantile(fraction))
        }
        expect([merged.count, merged.max]).toEqual([whole.count, whole.max])
      }),
    )
  })

  test('an empty one has no quantiles, and merging it changes nothing', () => {
    const histogram = filled([3])
    histogram.merge(new Histogram())
    expect(histogram.quantile(0.5)).toBe(3)
    expect(new Histogram().quantile(0.5)).toBeUndefined()
    expect(new Histogram().max).toBeUndefined()
  })

  test('takes zero and what is beyond its range, and no negative values', () => {
    const histogram = filled([0, 1e12])
    expect(histogram.quantile(0)).toBeLessThanOrEqual(1e-6)
    expect(histogram.max).toBe(1e12)
    expect(() => histogram.record(-1)).toThrow('negative')
    expect(() => histogram.record(Number.NaN)).toThrow('negative')
  })
})
