import { expect, test } from 'vitest'
import { countOf, formatCount } from '../../src/base/format-count.ts'
import { printable } from '../../src/cli/printable.ts'

test('control characters become visible, letters of all languages stay', () => {
  expect(printable('a\u001b[2Jb\nc\u0000')).toBe('a\\u{1b}[2Jb\\u{a}c\\u{0}')
  expect(printable('\u202egnp.exe')).toBe('\\u{202e}gnp.exe')
  expect(printable('Grüße/日本/😀')).toBe('Grüße/日本/😀')
})

test('counts are grouped and agree with their noun', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567')
  expect([0, 1, 2].map((count) => countOf(count, 'change'))).toEqual([
    '0 changes',
    '1 change',
    '2 changes',
  ])
})
