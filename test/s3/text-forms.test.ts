/** The small text codecs: percent-encoding, query, XML, dates, tokens, bucket names. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isBucketName } from '../../src/s3/bucket-name.ts'
import {
  decodeContinuationToken,
  encodeContinuationToken,
} from '../../src/s3/continuation-token.ts'
import { formatHttpDate, parseHttpDate } from '../../src/s3/http-date.ts'
import { percentDecode, percentEncode } from '../../src/s3/percent-codec.ts'
import { parseQuery } from '../../src/s3/query.ts'
import { element, escapeXml } from '../../src/s3/xml.ts'

/** Any text that UTF-8 can carry. */
const text = fc.string({ unit: 'binary' })
const control = fc.string({
  unit: fc.constantFrom('\0', '\x01', '\n', '\r', '\t', '\ufffe', '&', 'é'),
})
const anyText = fc.oneof(text, control)

describe('percent-encoding', () => {
  it('brings every key back and is plain ASCII on the way', () => {
    fc.assert(
      fc.property(anyText, (key) => {
        const encoded = percentEncode(key)
        expect(encoded).toMatch(/^[A-Za-z0-9._~/%-]*$/)
        expect(percentDecode(encoded)).toBe(key)
      }),
    )
  })

  it('decodes bytes exactly when they are UTF-8', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), (bytes) => {
        const encoded = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
        const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
        let expected: string | undefined
        try {
          expected = strict.decode(bytes)
        } catch {
          // Not UTF-8: then the codec has to refuse it.
          expect(() => percentDecode(encoded)).toThrow(/percent-encoding/)
        }
        if (expected !== undefined) expect(percentDecode(encoded)).toBe(expected)
      }),
    )
  })
})

describe('a query', () => {
  it('is decoded by name, the first of a name counting', () => {
    expect([...parseQuery('a=1&b&=c&&a=2&d%20=e+f%2B&g==')]).toEqual([
      ['a', '1'],
      ['b', ''],
      ['', 'c'],
      ['d ', 'e f+'],
      ['g', '='],
    ])
  })

  it('that does not decode is refused', () => {
    expect(() => parseQuery('prefix=%f')).toThrow(/percent-encoding/)
  })
})

describe('XML', () => {
  const named: Readonly<Record<string, string>> = {
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
  }
  const unescapeXml = (xml: string): string =>
    xml.replace(/&(?:#x([0-9A-F]+)|([a-z]+));/g, (_, hex?: string, name?: string) =>
      hex === undefined
        ? (named[name ?? ''] ?? '?')
        : String.fromCodePoint(Number.parseInt(hex, 16)),
    )

  it('escapes so that nothing special is left and everything comes back', () => {
    fc.assert(
      fc.property(anyText, (value) => {
        const escaped = escapeXml(value)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be left
        expect(escaped).not.toMatch(/[<>"'\0-\x1f\ufffe\uffff]|&(?!#x[0-9A-F]+;|[a-z]+;)/)
        expect(unescapeXml(escaped)).toBe(value)
      }),
    )
  })

  it('makes elements of texts, numbers and truths', () => {
    expect(element('A', '<b>') + element('B', 1) + element('C', true)).toBe(
      '<A>&lt;b&gt;</A><B>1</B><C>true</C>',
    )
  })
})

describe('HTTP dates', () => {
  it('come back to the second', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000_000 }), (ms) => {
        expect(parseHttpDate(formatHttpDate(ms))).toBe(Math.floor(ms / 1000) * 1000)
      }),
    )
  })

  it('are read in all three forms', () => {
    const moment = Date.UTC(1994, 10, 6, 8, 49, 37)
    expect(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT')).toBe(moment)
    expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT')).toBe(moment)
    expect(parseHttpDate('Sun Nov  6 08:49:37 1994')).toBe(moment)
    expect(formatHttpDate(moment + 999)).toBe('Sun, 06 Nov 1994 08:49:37 GMT')
  })

  it.each([
    '',
    'now',
    '2024-01-01',
    '1700000000',
    'Sun, 06 Nov 1994 08:49:37 CET',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:49:37 GMT',
    'Sun, 06 Foo 1994 08:49:37 GMT',
    'Sun, 00 Nov 1994 08:49:37 GMT',
  ])('%s is none', (value) => {
    expect(parseHttpDate(value)).toBeUndefined()
  })
})

describe('continuation tokens', () => {
  it('bring every key back and are fit for an address', () => {
    fc.assert(
      fc.property(anyText, (key) => {
        fc.pre(key !== '')
        const token = encodeContinuationToken(key)
        expect(token).toMatch(/^[A-Za-z0-9_-]+$/)
        expect(decodeContinuationToken(token)).toBe(key)
      }),
    )
  })

  it.each(['', 'x', 'AQ', 'AQ==', 'AmFi', 'AYA', '!!!!', `${encodeContinuationToken('a')} `])(
    '%j is none',
    (token) => {
      expect(() => decodeContinuationToken(token)).toThrow(/continuation token/)
    },
  )
})

describe('bucket names', () => {
  it.each(['mybucket', 'test', 'abc', 'a.b-c', '1two3', 'x'.repeat(63), 'administration'])(
    '%s is one',
    (name) => expect(isBucketName(name)).toBe(true),
  )
  it.each([
    '',
    'ab',
    'x'.repeat(64),
    'A-b',
    '-ab',
    'ab-',
    '.ab',
    'a..b',
    '1.2.3.4',
    'admin',
    'a b',
  ])('%j is none', (name) => expect(isBucketName(name)).toBe(false))
})
