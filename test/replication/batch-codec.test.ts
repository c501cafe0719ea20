import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import { decodeAnswer, encodeAnswer } from '../../src/replication/wire/answer-codec.ts'
import {
  type BatchHeader,
  type ChangeFrame,
  decodeBatch,
  encodeBatch,
  encodeFrame,
  type FrameBody,
} from '../../src/replication/wire/batch-codec.ts'
import type { ChangeOutcome } from '../../src/replication/wire/protocol.ts'

const id = fc.stringMatching(/^[0-9a-f]{1,32}$/)
const seq = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
const header: fc.Arbitrary<BatchHeader> = fc.record({
  session: id,
  volumeId: id,
  incarnation: id,
  through: seq,
})
const body: fc.Arbitrary<FrameBody> = fc.oneof(
  fc.constant({ kind: 'none' as const }),
  fc.array(bytes(300), { maxLength: 3 }).map((pieces) => ({
    kind: 'inline' as const,
    pieces,
    length: pieces.reduce((sum, piece) => sum + piece.length, 0),
  })),
  fc.record({
    kind: fc.constant('offer' as const),
    ticket: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    length: seq,
  }),
  fc.record({ kind: fc.constant('withheld' as const), length: seq }),
)
const frame: fc.Arbitrary<ChangeFrame> = fc.record({
  seq,
  encoded: fc.record({
    kind: fc.constantFrom('put' as const, 'delete' as const, 'purge' as const, 'bucket' as const),
    label: bytes(80),
    head: bytes(200),
  }),
  body,
})

function plainBody(one: FrameBody): object {
  if (one.kind === 'inline') return { kind: 'inline', bytes: Buffer.concat([...one.pieces]) }
  return one.kind === 'offer' ? { ...one, ticket: Buffer.from(one.ticket) } : one
}

describe('a batch', () => {
  test('decodes to what was encoded', () => {
    fc.assert(
      fc.property(header, fc.array(frame, { maxLength: 6 }), (batchHeader, frames) => {
        const decoded = decodeBatch(Buffer.concat(encodeBatch(batchHeader, frames)))
        expect(decoded.header).toEqual(batchHeader)
        expect(decoded.frames).toEqual(
          frames.map((one) => ({
            seq: one.seq,
            kind: one.encoded.kind,
            label: one.encoded.label,
            head: one.encoded.head,
            body: plainBody(one.body),
          })),
        )
      }),
    )
  })

  test('references bodies instead of copying them, on both ends', () => {
    const piece = Buffer.from('the body')
    const encoded = { kind: 'put' as const, label: Buffer.from('l'), head: Buffer.from('h') }
    const inline = { kind: 'inline' as const, pieces: [piece], length: piece.length }
    expect(encodeFrame({ seq: 1, encoded, body: inline })).toContain(piece)
    const headerOf = { session: 's', volumeId: 'v', incarnation: 'i', through: 0 }
    const batch = Buffer.concat(encodeBatch(headerOf, [{ seq: 1, encoded, body: inline }]))
    const [decoded] = decodeBatch(batch).frames
    expect(decoded?.body.kind === 'inline' && decoded.body.bytes.buffer === batch.buffer).toBe(true)
  })

  test('with any byte changed, or cut anywhere, is malformed and nothing else', () => {
    fc.assert(
      fc.property(
        header,
        fc.array(frame, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (batchHeader, frames, at, flip) => {
          const batch = Buffer.concat(encodeBatch(batchHeader, frames))
          const position = at % batch.length
          expect(() => decodeBatch(batch.subarray(0, position))).toThrow(MalformedBytesError)
          batch[position] = (batch[position] ?? 0) ^ flip
          expect(() => decodeBatch(batch)).toThrow(MalformedBytesError)
        },
      ),
    )
  })

  test('of random bytes is malformed and nothing else', () => {
    const prefix = Buffer.from('COMIORB1\x01\x00', 'latin1')
    fc.assert(
      fc.property(bytes(400), fc.boolean(), (noise, plausible) => {
        const batch = plausible ? Buffer.concat([prefix, noise]) : noise
        expect(() => decodeBatch(batch)).toThrow(MalformedBytesError)
      }),
      { numRuns: 500 },
    )
  })

  test('keeps a change of an unknown kind apart, so that it is refused alone', () => {
    const encoded = { kind: 'bucket' as const, label: Buffer.alloc(0), head: Buffer.alloc(0) }
    const [start, crc] = encodeFrame({ seq: 7, encoded, body: { kind: 'none' } })
    expect(start !== undefined && crc !== undefined).toBe(true)
    const known = Buffer.concat([start ?? crc ?? Buffer.alloc(0)])
    known[12] = 99
    const headerOf = { session: 's', volumeId: 'v', incarnation: 'i', through: 0 }
    const empty = Buffer.concat(encodeBatch(headerOf, []))
    const one = Buffer.concat(encodeBatch(headerOf, [{ seq: 7, encoded, body: { kind: 'none' } }]))
    const headerBytes = one.subarray(0, empty.length)
    const batch = Buffer.concat([headerBytes, known, crcOf(known.subarray(4))])
    expect(decodeBatch(batch).frames.map(({ seq: place, kind }) => ({ place, kind }))).toEqual([
      { place: 7, kind: undefined },
    ])
  })
})

function crcOf(frameBytes: Uint8Array): Buffer {
  let crc = 0xffffffff
  for (const byte of frameBytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  const out = Buffer.alloc(4)
  out.writeUInt32LE((crc ^ 0xffffffff) >>> 0)
  return out
}

const text = fc.string({ maxLength: 60, unit: 'grapheme' })
const outcome: fc.Arbitrary<ChangeOutcome> = fc.oneof(
  fc.constantFrom<ChangeOutcome>(
    { result: 'applied' },
    { result: 'duplicate' },
    { result: 'superseded' },
    { result: 'pulling' },
    { result: 'need' },
    { result: 'conflict', won: true },
    { result: 'conflict', won: false },
  ),
  text.map((reason): ChangeOutcome => ({ result: 'later', reason })),
  fc
    .tuple(text, text)
    .map(([code, message]): ChangeOutcome => ({ result: 'refused', code, message })),
)

describe('an answer', () => {
  test('decodes to what was encoded', () => {
    fc.assert(
      fc.property(seq, seq, fc.array(outcome, { maxLength: 20 }), (through, head, outcomes) => {
        const answer = { through, head, outcomes }
        expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer)
      }),
    )
  })

  test('that is damaged, cut or noise is malformed and nothing else', () => {
    fc.assert(
      fc.property(
        fc.array(outcome, { maxLength: 5 }),
        fc.nat(),
        bytes(60),
        (outcomes, at, noise) => {
          const answer = encodeAnswer({ through: 3, head: 9, outcomes })
          const position = at % answer.length
          expect(() => decodeAnswer(answer.subarray(0, position))).toThrow(MalformedBytesError)
          answer[position] = (answer[position] ?? 0) ^ 0x55
          expect(() => decodeAnswer(answer)).toThrow(MalformedBytesError)
          expect(() => decodeAnswer(noise)).toThrow(MalformedBytesError)
        },
      ),
    )
  })
})
