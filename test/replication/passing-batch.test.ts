import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import {
  type ChangeFrame,
  decodeBatch,
  encodeBatch,
  encodeHoldingsPart,
} from '../../src/replication/wire/batch-codec.ts'
import { PassingBatch, type ReceivedFrame } from '../../src/replication/wire/passing-batch.ts'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import { makeVersion } from '../../src/store/model/version.ts'

const header = { session: 's', volumeId: 'volume', incarnation: 'life', through: 7 }

function frameOf(
  seq: number,
  sizes: { readonly head: number; readonly body: number },
  kind: 'put' | 'purge' = 'put',
): ChangeFrame {
  const encoded = { kind, label: filled(20, seq), head: filled(sizes.head, seq + 1) }
  const length = sizes.body
  if (kind === 'purge') return { seq, encoded, body: { kind: 'none' } }
  return { seq, encoded, body: { kind: 'inline', pieces: [filled(length, seq + 2)], length } }
}

function filled(length: number, from: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at++) bytes[at] = (from + at * 7 + (at >> 8)) & 0xff
  return bytes
}

/** In pieces of these sizes, over and over, each with memory of its own. */
function arrived(
  bytes: Buffer,
  sizes: readonly number[],
): { batch: PassingBatch; pieces: Buffer[] } {
  const batch = new PassingBatch()
  const pieces: Buffer[] = []
  for (let at = 0, next = 0; at < bytes.length; next++) {
    const size = sizes[next % sizes.length] as number
    const piece = Buffer.allocUnsafeSlow(Math.min(size, bytes.length - at))
    bytes.copy(piece, 0, at)
    at += piece.length
    pieces.push(piece)
    batch.add(piece)
  }
  return { batch, pieces }
}

/** As a batch in one buffer would have been decoded. */
function plain({ body, ...rest }: ReceivedFrame): object {
  if (body.kind !== 'passing') return { ...rest, body }
  const bytes = Buffer.concat(body.pieces)
  expect(bytes).toHaveLength(body.length)
  return { ...rest, body: { kind: 'inline', bytes } }
}

const sizesOf = fc.record({
  head: fc.constantFrom(0, 200, 9000),
  body: fc.constantFrom(0, 1, 8000, 9000, 40_000, 70_001),
})
const cuts = fc.array(fc.constantFrom(1, 500, 16_384, 20_000, 65_536), {
  minLength: 1,
  maxLength: 4,
})

describe('a batch in pieces', () => {
  test('decodes to what it would be in one, however it was cut', () => {
    const holdings = { scope: wantsEverything, upTo: [makeVersion(5, 0, 'there')] }
    fc.assert(
      fc.property(fc.array(sizesOf, { maxLength: 4 }), cuts, fc.boolean(), (all, sizes, more) => {
        const frames = all.map((one, index) =>
          frameOf(index + 1, one, one.body === 1 ? 'purge' : 'put'),
        )
        const tail = more ? [encodeHoldingsPart(holdings)] : []
        const bytes = Buffer.concat([...encodeBatch(header, frames), ...tail])
        const { batch } = arrived(bytes, sizes)
        const expected = decodeBatch(bytes)
        const decoded = batch.decode()
        expect(decoded.header).toEqual(expected.header)
        expect(decoded.holdings).toEqual(expected.holdings)
        expect(decoded.frames.map(plain)).toEqual(expected.frames.map(plain))
      }),
      { numRuns: 60 },
    )
  })

  test('with any byte changed, or cut anywhere, is malformed and nothing else', () => {
    const frames = [1, 2, 3].map((seq) => frameOf(seq, { head: 300, body: 9000 * seq }))
    const good = Buffer.concat(encodeBatch(header, frames))
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const cut = arrived(good.subarray(0, at), [20_000])
        expect(() => cut.batch.decode()).toThrow(MalformedBytesError)
        const damaged = Buffer.from(good)
        damaged[at] = (damaged[at] as number) ^ flip
        expect(() => arrived(damaged, [20_000]).batch.decode()).toThrow(MalformedBytesError)
      }),
    )
  })

  test('gives its memory back, and all but large bodies outlives it', () => {
    const frames = [60, 100_000, 5000, 40_000].map((body, index) =>
      frameOf(index + 1, { head: 200, body }),
    )
    const { batch, pieces } = arrived(Buffer.concat(encodeBatch(header, frames)), [65_536])
    const decoded = batch.decode()
    expect(decoded.frames.map(({ body }) => body.kind)).toEqual([
      ...['inline', 'passing', 'inline', 'passing'],
    ])
    batch.giveBack()
    expect(pieces.every(({ buffer }) => buffer.byteLength === 0)).toBe(true)
    for (const [index, { label, head, body }] of decoded.frames.entries()) {
      const { encoded, body: sent } = frames[index] as ChangeFrame
      expect(label).toEqual(encoded.label)
      expect(head).toEqual(encoded.head)
      if (body.kind === 'inline')
        expect([body.bytes]).toEqual(sent.kind === 'inline' && sent.pieces)
    }
  })

  test('that comes byte by byte takes few buffers', () => {
    const bytes = Buffer.concat(encodeBatch(header, [frameOf(1, { head: 10, body: 50_000 })]))
    const { batch, pieces } = arrived(bytes, [1])
    const [frame] = batch.decode().frames
    expect(frame?.body.kind === 'passing' && frame.body.pieces.length).toBeLessThan(6)
    expect(pieces.every(({ length }) => length === 0)).toBe(true)
  })

  test('is malformed when a frame is long without a body, or longer than its body', () => {
    for (const head of [16_417, 40_000]) {
      const endless = frameOf(1, { head, body: 0 }, 'purge')
      const bytes = Buffer.concat(encodeBatch(header, [endless]))
      expect(() => arrived(bytes, [20_000]).batch.decode()).toThrow(MalformedBytesError)
    }
    const put = Buffer.concat(encodeBatch(header, [frameOf(1, { head: 10, body: 20_000 })]))
    const lengthAt = Buffer.concat(encodeBatch(header, [])).length
    put.writeUInt32LE(put.readUInt32LE(lengthAt) - 1, lengthAt)
    expect(() => arrived(put, [20_000]).batch.decode()).toThrow('another length')
  })
})
