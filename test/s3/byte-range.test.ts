import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseRange, formatContentRange } from '../../src/s3/byte-range.ts'

const size = fc.integer({ min: 0, max: 40 })
const place = fc.integer({ min: 0, max: 60 })

/** The places of the object that a range names, counted one by one as RFC 9110 words it. */
function placesBetween(first: number, last: number, length: number): number[] {
  return Array.from({ length }, (_, at) => at).filter((at) => at >= first && at <= last)
}

describe('a range', () => {
  function expectPlaces(header: string, length: number, places: readonly number[]): void {
    const range = chooseRange(header, length)
    if (places.length === 0) {
      expect(range).toBe('unsatisfiable')
      return
    }
    expect(range).toEqual({ start: places[0], end: (places.at(-1) as number) + 1 })
  }

  it('from first to last names exactly these bytes', () => {
    fc.assert(
      fc.property(size, place, place, (length, a, b) => {
        const [first, last] = a <= b ? [a, b] : [b, a]
        expectPlaces(`bytes=${first}-${last}`, length, placesBetween(first, last, length))
      }),
    )
  })

  it('without a last place goes to the end', () => {
    fc.assert(
      fc.property(size, place, (length, first) => {
        expectPlaces(`bytes=${first}-`, length, placesBetween(first, Infinity, length))
      }),
    )
  })

  it('without a first place names that many bytes from the end', () => {
    fc.assert(
      fc.property(size, place, (length, count) => {
        expectPlaces(`bytes=-${count}`, length, placesBetween(length - count, Infinity, length))
      }),
    )
  })

  it('whose last place lies before its first is ignored', () => {
    fc.assert(
      fc.property(size, place, place, (length, a, b) => {
        fc.pre(a > b)
        expect(chooseRange(`bytes=${a}-${b}`, length)).toBeUndefined()
      }),
    )
  })

  it('never leads out of the object, whatever the header says', () => {
    const header = fc.oneof(
      fc.string(),
      fc.stringMatching(/^bytes=[ 0-9,-]*$/),
      fc.stringMatching(/^bytes=\d{1,30}-\d{0,30}$/),
    )
    fc.assert(
      fc.property(header, size, (text, length) => {
        const range = chooseRange(text, length)
        if (range === undefined || range === 'unsatisfiable') return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.end).toBeGreaterThan(range.start)
        expect(range.end).toBeLessThanOrEqual(length)
        expect(formatContentRange(range, length)).toMatch(/^bytes \d+-\d+\/\d+$/)
      }),
    )
  })
})
