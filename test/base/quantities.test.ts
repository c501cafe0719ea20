import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatByteSize, parseByteSize } from '../../src/base/byte-size.ts'
import { formatDuration, parseDuration } from '../../src/base/duration.ts'

describe('sizes', () => {
  it.each([
    ['100', 100],
    ['64KiB', 65_536],
    ['1M', 2 ** 20],
    ['1MB', 1e6],
    ['1TB', 1e12],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['0', 0],
  ])('reads %s', (text, bytes) => expect(parseByteSize(text)).toBe(bytes))

  it.each(['', 'x', '-1', '1 mile', '1e3', '99999999999 PiB', 'KiB'])('refuses %j', (text) =>
    expect(parseByteSize(text)).toBeUndefined(),
  )

  it('writes what it reads to within its own rounding', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (bytes) => {
        const read = parseByteSize(formatByteSize(bytes))
        expect(Math.abs((read ?? Number.NaN) - bytes)).toBeLessThanOrEqual(bytes * 0.06)
      }),
    )
  })
})

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['1s', 1000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['0.5s', 500],
  ])('reads %s', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it.each(['', '5', 's', '-1s', '1 s', '1w', '1s later'])('refuses %j', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  )

  it.each([
    [12.3, '12 ms'],
    [3400, '3.4 s'],
    [300_000, '5 min'],
    [7_800_000, '2 h 10 min'],
    [273_600_000, '3 d 4 h'],
  ])('says %d ms as %s', (ms, text) => expect(formatDuration(ms)).toBe(text))
})
