import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import {
  type CompletionsAnswer,
  type Hello,
  type HelloAnswer,
  parseCompletionsAnswer,
  parseCompletionsQuery,
  parseHello,
  parseHelloAnswer,
} from '../../src/replication/wire/protocol.ts'

const hello: Hello = {
  protocol: 1,
  volumeId: '0123456789abcdef0123456789abcdef',
  incarnation: '0123456789abcdef',
  incarnationSince: 1_700_000_000_000,
  siteId: 'site-a',
  advertiseUrl: 'http://127.0.0.1:8080',
  wallTime: 1_700_000_000_001,
  filterHash: 'all',
  head: 12,
  epoch: 1,
}
const answer: HelloAnswer = {
  protocol: 1,
  volumeId: 'ff',
  incarnation: 'ee',
  incarnationSince: 5,
  siteId: 'site-b',
  wallTime: 6,
  head: 7,
  session: 'dd',
  applied: { incarnation: '0123456789abcdef', through: 9 },
  accepts: ['push', 'zstd'],
}

describe('the documents of the protocol', () => {
  test('come back as they were sent', () => {
    expect(parseHello(JSON.stringify(hello))).toEqual(hello)
    const asking = { ...hello, asksOnly: true }
    expect(parseHello(JSON.stringify(asking))).toEqual(asking)
    expect(parseHelloAnswer(JSON.stringify(answer))).toEqual(answer)
    const standing = { role: 'replica', term: 3 } as const
    expect(parseHello(JSON.stringify({ ...hello, standing }))).toEqual({ ...hello, standing })
    const full = { ...answer, standing, owes: 4 }
    expect(parseHelloAnswer(JSON.stringify(full))).toEqual(full)
  })

  test.each([{ role: 'king', term: 1 }, { role: 'primary', term: 2 ** 41 }, { role: 'primary' }])(
    'take no standing such as %j',
    (standing) => {
      expect(() => parseHello(JSON.stringify({ ...hello, standing }))).toThrow(MalformedBytesError)
      const unknown = { ...answer, applied: null }
      expect(parseHelloAnswer(JSON.stringify(unknown))).toEqual(unknown)
      const query = {
        session: 's',
        volumeId: 'v',
        incarnation: 'i',
        waitMs: 5,
        seqs: [1],
        forget: [],
      }
      expect(parseCompletionsQuery(JSON.stringify(query))).toEqual(query)
      const completions: CompletionsAnswer = {
        completions: [
          { seq: 1, outcome: { result: 'applied' } },
          { seq: 2, outcome: { result: 'conflict', won: true } },
          { seq: 3, outcome: { result: 'later', reason: 'full' } },
          { seq: 4, outcome: { result: 'again', reason: 'unknown' } },
          { seq: 5, outcome: { result: 'refused', code: 'X', message: 'no' } },
        ],
      }
      expect(parseCompletionsAnswer(JSON.stringify(completions))).toEqual(completions)
    },
  )

  test('ignore members they do not know, for later versions to add', () => {
    expect(parseHello(JSON.stringify({ ...hello, colour: 'green' }))).toEqual(hello)
  })

  test.each([
    ['a missing member', { ...hello, head: undefined }],
    ['a negative number', { ...hello, head: -1 }],
    ['a site id with capitals', { ...hello, siteId: 'Site' }],
    ['an empty volume id', { ...hello, volumeId: '' }],
    ['an endless address', { ...hello, advertiseUrl: `http://${'x'.repeat(3000)}` }],
  ])('are refused with %s', (_what, document) => {
    expect(() => parseHello(JSON.stringify(document))).toThrow(MalformedBytesError)
  })

  test('never fail in another way than malformed, whatever comes', () => {
    const parsers = [parseHello, parseHelloAnswer, parseCompletionsQuery, parseCompletionsAnswer]
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), fc.nat({ max: 3 }), (text, which) => {
        expect(() => parsers[which]?.(text)).toThrow(MalformedBytesError)
      }),
    )
  })
})
