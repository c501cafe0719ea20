import { describe, expect, it } from 'vitest'
import {
  evaluateReadConditions,
  parseWriteConditions,
  type ReadOutcome,
  rangeStillApplies,
} from '../../src/s3/conditions.ts'

// The dates have no milliseconds; the object has some, which must not count.
const current = { etag: 'abc', lastModified: Date.UTC(2024, 0, 10, 12, 0, 0, 500) }
const at = 'Wed, 10 Jan 2024 12:00:00 GMT'
const before = 'Wed, 10 Jan 2024 11:59:59 GMT'
const after = 'Wed, 10 Jan 2024 12:00:01 GMT'

const table: readonly (readonly [Record<string, string>, ReadOutcome])[] = [
  [{}, 'proceed'],
  // If-Match: strong comparison, `*` for any.
  [{ 'if-match': '"abc"' }, 'proceed'],
  [{ 'if-match': 'abc' }, 'proceed'],
  [{ 'if-match': '*' }, 'proceed'],
  [{ 'if-match': '"x", "abc"' }, 'proceed'],
  [{ 'if-match': '"x"' }, 'failed'],
  [{ 'if-match': 'W/"abc"' }, 'failed'],
  [{ 'if-match': '' }, 'proceed'],
  // If-Unmodified-Since counts only without If-Match.
  [{ 'if-unmodified-since': at }, 'proceed'],
  [{ 'if-unmodified-since': after }, 'proceed'],
  [{ 'if-unmodified-since': before }, 'failed'],
  [{ 'if-unmodified-since': 'yesterday' }, 'proceed'],
  [{ 'if-match': '"abc"', 'if-unmodified-since': before }, 'proceed'],
  [{ 'if-match': '"x"', 'if-unmodified-since': after }, 'failed'],
  // If-None-Match: weak comparison.
  [{ 'if-none-match': '"abc"' }, 'not-modified'],
  [{ 'if-none-match': 'W/"abc"' }, 'not-modified'],
  [{ 'if-none-match': '*' }, 'not-modified'],
  [{ 'if-none-match': '"x" , W/"y","abc"' }, 'not-modified'],
  [{ 'if-none-match': '"x"' }, 'proceed'],
  [{ 'if-none-match': '"a,b", "c"' }, 'proceed'],
  // If-Modified-Since counts only without If-None-Match.
  [{ 'if-modified-since': at }, 'not-modified'],
  [{ 'if-modified-since': after }, 'not-modified'],
  [{ 'if-modified-since': before }, 'proceed'],
  [{ 'if-modified-since': 'yesterday' }, 'proceed'],
  [{ 'if-none-match': '"x"', 'if-modified-since': after }, 'proceed'],
  [{ 'if-none-match': '"abc"', 'if-modified-since': before }, 'not-modified'],
  // A failed precondition comes before a cache's question.
  [{ 'if-match': '"x"', 'if-none-match': '"abc"' }, 'failed'],
  [{ 'if-match': '"abc"', 'if-none-match': '"abc"' }, 'not-modified'],
  [{ 'if-unmodified-since': before, 'if-none-match': '"abc"' }, 'failed'],
  [{ 'if-unmodified-since': after, 'if-modified-since': after }, 'not-modified'],
]

describe('conditions of a read', () => {
  it.each(table)('%j: %s', (headers, outcome) => {
    expect(evaluateReadConditions(headers, current)).toBe(outcome)
  })

  it.each(['"a', 'a"b', '"a" "b"', ',', '"a",'])('refuses the list %s', (list) => {
    expect(() => evaluateReadConditions({ 'if-match': list }, current)).toThrow(/If-Match/)
    expect(() => evaluateReadConditions({ 'if-none-match': list }, current)).toThrow(
      /If-None-Match/,
    )
  })
})

describe('conditions of a write', () => {
  it.each([
    [{}, undefined],
    [{ 'if-none-match': '*' }, { ifNoneMatch: ['*'] }],
    [{ 'if-match': '"a", b' }, { ifMatch: ['a', 'b'] }],
    [{ 'if-match': 'W/"a"' }, { ifMatch: ['W/a'] }],
    [
      { 'if-match': '"a"', 'if-none-match': 'W/"b"' },
      { ifMatch: ['a'], ifNoneMatch: ['b'] },
    ],
  ])('%j become %j', (headers, conditions) => {
    expect(parseWriteConditions(headers)).toEqual(conditions)
  })
})

describe('If-Range', () => {
  it.each([
    [undefined, true],
    ['"abc"', true],
    ['W/"abc"', false],
    ['"x"', false],
    [at, true],
    [before, false],
    [after, false],
  ])('%s: %s', (header, applies) => {
    expect(rangeStillApplies(header, current)).toBe(applies)
  })
})
