import { deflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { BenchContent } from '../../src/bench/bench-content.ts'

const content = new BenchContent(new Uint8Array(32).fill(7))

test('every object differs, and the same one is made again from the same seed', () => {
  const again = new BenchContent(new Uint8Array(32).fill(7))
  const other = new BenchContent(new Uint8Array(32).fill(8))
  expect(content.whole(3, 1000)).toEqual(again.whole(3, 1000))
  expect(content.whole(3, 1000)).not.toEqual(content.whole(4, 1000))
  expect(content.whole(3, 1000)).not.toEqual(other.whole(3, 1000))
})

test('pieces are the whole, whatever the size', () => {
  for (const size of [0, 1, 262_143, 262_144, 262_145, 1_000_000]) {
    const pieces = Buffer.concat([...content.pieces(5, size)])
    expect(pieces.equals(content.whole(5, size))).toBe(true)
    expect(pieces).toHaveLength(size)
  }
})

test('does not compress', () => {
  expect(deflateSync(content.whole(1, 100_000)).length).toBeGreaterThan(100_000)
})
