import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FormatTooNewError } from '../../src/volume/format/errors.ts'
import {
  decodeFooterEntries,
  decodeFooterHeader,
  decodeTrailer,
  FooterBuilder,
  type FooterEntry,
  footerLength,
} from '../../src/volume/format/footer.ts'
import {
  decodeGroupHeader,
  decodeGroupRecords,
  GroupEncoder,
  groupLength,
  measureGroup,
} from '../../src/volume/format/group-codec.ts'
import { defaultSegmentBytes, footerHeaderBytes, limitsOf } from '../../src/volume/format/limits.ts'
import type { RecordInput } from '../../src/volume/format/record.ts'
import { recordLength } from '../../src/volume/format/record-codec.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  type SegmentHeader,
} from '../../src/volume/format/segment-header.ts'
import { SegmentSeed } from '../../src/volume/format/segment-seed.ts'
import {
  decodeSuperblock,
  encodeSuperblock,
  registerEntriesMax,
  type Superblock,
} from '../../src/volume/format/superblock.ts'
import { blockBytes } from './scenario.ts'

const volumeId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const use = { segment: 3, generation: 9 }
const seed = new SegmentSeed(volumeId, use)
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const uint53 = fc.maxSafeNat()
const bytesUpTo = (max: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength: max }).map((bytes) => Buffer.from(bytes))

/** Bodies in pieces of many lengths, below and above what is copied, across checksum blocks. */
const bodies = fc.array(
  fc
    .record({ length: fc.oneof(fc.nat(200), fc.nat(5000), fc.nat(70_000)), fill: fc.nat(255) })
    .map(({ length, fill }) => Buffer.alloc(length, fill)),
  { maxLength: 4 },
)
const records: fc.Arbitrary<RecordInput> = fc.record({
  kind: fc.integer({ min: 1, max: 255 }),
  seq: uint53,
  label: bytesUpTo(200),
  head: bytesUpTo(300),
  body: bodies,
})

function encode(input: readonly RecordInput[], offset: number, encoder = new GroupEncoder()) {
  const place = { use, seed, offset, number: 5, highestSeq: 17 }
  const group = encoder.encode(input, measureGroup(input), place)
  return { ...group, written: Buffer.concat(group.pieces) }
}

describe('The group codec', () => {
  it('returns the records that were put in, at the locations it told', () => {
    const encoder = new GroupEncoder()
    fc.assert(
      fc.property(fc.array(records, { maxLength: 6 }), fc.nat(1000), (input, block) => {
        const offset = block * blockBytes
        const { written, locations, bytes, highestSeq } = encode(input, offset, encoder)
        expect(written.length).toBe(bytes)
        expect(bytes % blockBytes).toBe(0)
        const header = decodeGroupHeader(written, 0, { offset, seed })
        if (header === undefined) throw new Error('the header does not decode')
        expect(groupLength(header)).toBe(bytes)
        expect(header.number).toBe(5)
        expect(header.highestSeq).toBe(highestSeq)
        expect(highestSeq).toBe(Math.max(17, ...input.map((record) => record.seq)))
        const decoded = decodeGroupRecords(written, header, { offset, seed })
        if (typeof decoded === 'string') throw new Error(decoded)
        expect(decoded.length).toBe(input.length)
        for (const [i, record] of decoded.entries()) {
          const expected = input[i]
          const location = locations[i]
          if (expected === undefined || location === undefined) throw new Error('a record too many')
          const { kind, seq, label, head, headLength, bodyLength } = record
          expect({ kind, seq }).toEqual({ kind: expected.kind, seq: expected.seq })
          expect(label.equals(expected.label) && head.equals(expected.head)).toBe(true)
          const at = { ...use, offset: record.offset, headLength, bodyLength }
          expect(location).toEqual(at)
          const bodyAt = location.offset - offset + location.headLength
          const body = written.subarray(bodyAt, bodyAt + location.bodyLength)
          expect(body.equals(Buffer.concat(expected.body))).toBe(true)
          expect(headLength + bodyLength).toBe(recordLength(expected))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('notices any changed byte but those of the padding', () => {
    fc.assert(
      fc.property(
        fc.array(records, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (input, where, flip) => {
          const { written } = encode(input, 8192)
          const at = where % measureGroup(input).bytes
          written[at] = (written[at] ?? 0) ^ flip
          const header = decodeGroupHeader(written, 0, { offset: 8192, seed })
          if (header === undefined) return
          expect(decodeGroupRecords(written, header, { offset: 8192, seed })).toBeTypeOf('string')
        },
      ),
      { numRuns: 100 },
    )
  })

  it('notices a group that is cut off anywhere', () => {
    const { written } = encode([{ ...sample(1), body: [Buffer.alloc(9000, 1)] }], 4096)
    for (let length = 0; length < 9000; length += 100) {
      const cut = Buffer.concat([
        written.subarray(0, length),
        Buffer.alloc(written.length - length),
      ])
      const header = decodeGroupHeader(cut, 0, { offset: 4096, seed })
      if (header === undefined) continue
      expect(decodeGroupRecords(cut, header, { offset: 4096, seed })).toBeTypeOf('string')
    }
  })

  it('never parses at another offset, in another segment, generation or volume', () => {
    const { written } = encode([sample(1)], 8192)
    const other = Buffer.alloc(16, 1)
    const places = [
      { offset: 4096, seed },
      { offset: 8192, seed: new SegmentSeed(volumeId, { ...use, segment: 4 }) },
      { offset: 8192, seed: new SegmentSeed(volumeId, { ...use, generation: 10 }) },
      { offset: 8192, seed: new SegmentSeed(other, use) },
    ]
    for (const place of places) expect(decodeGroupHeader(written, 0, place)).toBeUndefined()
    expect(decodeGroupHeader(written, 0, { offset: 8192, seed })).toBeDefined()
  })

  it('hands large bodies over as they are, and never in more pieces than one write takes', () => {
    const large = Buffer.alloc(100_000, 3)
    const { pieces } = encode([{ ...sample(1), body: [large] }], 4096)
    expect(pieces).toContain(large)
    const many = Array.from({ length: 1000 }, (_, i) => ({
      ...sample(i),
      body: [Buffer.alloc(2100), Buffer.alloc(2100)],
    }))
    expect(encode(many, 4096).pieces.length).toBeLessThanOrEqual(1024)
  })

  it('can be told any rubbish', () => {
    fc.assert(
      fc.property(bytesUpTo(400), (rubbish) => {
        expect(decodeGroupHeader(rubbish, 0, { offset: 4096, seed })).toBeUndefined()
        const header = {
          number: 1,
          payloadBytes: 300,
          recordCount: 2,
          highestSeq: 0,
          recordsChecksum: 0,
        }
        expect(decodeGroupRecords(rubbish, header, { offset: 4096, seed })).toBeTypeOf('string')
      }),
    )
  })
})

describe('The footer', () => {
  const entries: fc.Arbitrary<FooterEntry> = fc.record({
    kind: fc.integer({ min: 1, max: 255 }),
    seq: uint53,
    label: bytesUpTo(300),
    offset: uint32,
    headLength: uint32,
    bodyLength: uint32,
  })

  it('is found from the end of the segment and lists what was put in', () => {
    fc.assert(
      fc.property(
        fc.array(entries, { maxLength: 100 }),
        fc.integer({ min: 1, max: 999 }),
        (input, block) => {
          const builder = new FooterBuilder()
          for (const entry of input) builder.add(entry)
          const end = { validEnd: block * blockBytes, lastGroup: 12, highestSeq: 99 }
          const written = Buffer.concat(builder.encode(end, seed))
          expect(written.length).toBe(footerLength(builder.entriesBytes))
          const size = end.validEnd + written.length
          const lastBlock = written.subarray(written.length - blockBytes)
          expect(decodeTrailer(lastBlock, size, seed)).toBe(end.validEnd)
          const header = decodeFooterHeader(written, 0, { offset: end.validEnd, seed })
          if (header === undefined) throw new Error('the header does not decode')
          expect(header).toMatchObject(end)
          const bytes = written.subarray(footerHeaderBytes, footerHeaderBytes + header.entriesBytes)
          const decoded = decodeFooterEntries(bytes, header, seed)
          if (typeof decoded === 'string') throw new Error(decoded)
          expect(decoded).toEqual(
            input.map((entry) => ({ ...entry, label: Buffer.from(entry.label) })),
          )
        },
      ),
    )
  })

  it('notices a changed byte in header, entries and trailer, and another place', () => {
    const builder = new FooterBuilder()
    builder.add({
      kind: 1,
      seq: 2,
      label: Buffer.from('x'),
      offset: 4128,
      headLength: 30,
      bodyLength: 4,
    })
    const end = { validEnd: 8192, lastGroup: 1, highestSeq: 2 }
    const written = Buffer.concat(builder.encode(end, seed))
    const header = decodeFooterHeader(written, 0, { offset: 8192, seed })
    if (header === undefined) throw new Error('the header does not decode')
    for (let at = 0; at < footerHeaderBytes; at++) {
      const bad = Buffer.from(written)
      bad[at] = (bad[at] ?? 0) ^ 1
      expect(decodeFooterHeader(bad, 0, { offset: 8192, seed })).toBeUndefined()
    }
    const bytes = Buffer.from(
      written.subarray(footerHeaderBytes, footerHeaderBytes + header.entriesBytes),
    )
    expect(decodeFooterEntries(bytes, header, seed)).toHaveLength(1)
    bytes[3] = 1
    expect(decodeFooterEntries(bytes, header, seed)).toBeTypeOf('string')
    expect(decodeTrailer(written, 8192 + 8192, seed)).toBeUndefined()
    written[blockBytes - 10] = 1
    expect(decodeTrailer(written, 8192 + 4096, seed)).toBeUndefined()
  })
})

describe('The segment header', () => {
  const seals = fc.record({
    segment: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    generation: uint32,
    validEnd: uint32,
    lastGroup: uint32,
    highestSeq: uint53,
  })
  const headers: fc.Arbitrary<SegmentHeader> = fc.record({
    segment: uint32,
    generation: uint32,
    stream: fc.constantFrom('log' as const, 'bulk' as const),
    segmentBytes: uint32,
    openedAt: uint53,
    previous: fc.option(seals, { nil: undefined }),
  })

  it('returns what was put in', () => {
    fc.assert(
      fc.property(headers, (header) => {
        const bytes = encodeSegmentHeader(header, volumeId)
        expect(bytes.length).toBe(blockBytes)
        expect(decodeSegmentHeader(bytes, { segment: header.segment, volumeId })).toEqual(header)
      }),
    )
  })

  it('is refused where it does not belong, and after any change', () => {
    const header: SegmentHeader = {
      ...use,
      stream: 'log',
      segmentBytes: 65536,
      openedAt: 0,
      previous: undefined,
    }
    const bytes = encodeSegmentHeader(header, volumeId)
    const foreign = decodeSegmentHeader(bytes, { segment: 3, volumeId: Buffer.alloc(16) })
    expect(foreign).toMatchObject({ mismatch: expect.stringContaining('belongs to volume') })
    const moved = decodeSegmentHeader(bytes, { segment: 4, volumeId })
    expect(moved).toMatchObject({ mismatch: expect.stringContaining('segment 3') })
    for (const at of [0, 10, 12, 16, 30, 60, 2000, 4095]) {
      const bad = Buffer.from(bytes)
      bad[at] = (bad[at] ?? 0) ^ 0x40
      expect(decodeSegmentHeader(bad, { segment: 3, volumeId })).toHaveProperty('mismatch')
    }
  })

  it('names a newer format', () => {
    const bytes = Buffer.alloc(blockBytes)
    bytes.write('COMIOSEG')
    bytes[8] = 2
    expect(() => decodeSegmentHeader(bytes, { segment: 3, volumeId })).toThrow(FormatTooNewError)
  })
})

describe('The superblock', () => {
  const hex = (bytes: number): fc.Arbitrary<string> =>
    fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'))
  const census = fc.record({ count: uint32, digest: uint32 })
  const superblocks: fc.Arbitrary<Superblock> = fc.record({
    identity: fc.record({
      volumeId: hex(16),
      incarnation: hex(8),
      incarnationSince: uint53,
      siteId: fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/),
    }),
    segmentBytes: fc.integer({ min: 16, max: 30 }).map((power) => 2 ** power),
    highestGeneration: uint32,
    census: fc.record({ log: census, bulk: census }),
    freed: fc.option(
      fc.record({ segment: fc.integer({ min: 0, max: 2 ** 32 - 2 }), generation: uint32 }),
      { nil: undefined },
    ),
    logEnd: fc.option(
      fc.record({ generation: fc.integer({ min: 1, max: 2 ** 32 - 1 }), offset: uint32 }),
      { nil: undefined },
    ),
    slotsEnd: uint32,
    register: fc.array(
      fc.record({
        stream: fc.constantFrom('log' as const, 'bulk' as const),
        segment: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
        generation: uint32,
      }),
      { maxLength: registerEntriesMax },
    ),
  })

  it('has no register, no end of the log and no slots where an older one has zeros', () => {
    const identity = {
      volumeId: '00'.repeat(16),
      incarnation: '00'.repeat(8),
      incarnationSince: 0,
      siteId: 'a',
    }
    const none = { count: 0, digest: 0 }
    const superblock: Superblock = {
      identity,
      segmentBytes: 65536,
      highestGeneration: 0,
      census: { log: none, bulk: none },
      freed: undefined,
      logEnd: undefined,
      slotsEnd: 0,
      register: [],
    }
    const bytes = encodeSuperblock(superblock)
    expect(bytes.subarray(112, 4092).every((byte) => byte === 0)).toBe(true)
    expect(decodeSuperblock(bytes, 'disk')).toEqual(superblock)
  })

  it('returns what was put in', () => {
    fc.assert(
      fc.property(superblocks, (superblock) => {
        expect(decodeSuperblock(encodeSuperblock(superblock), 'disk')).toEqual(superblock)
      }),
    )
  })
})

describe('The limits', () => {
  it('hold for every segment size that is allowed', () => {
    for (let bytes = 64 * 1024; bytes <= 2 ** 30; bytes *= 2) {
      expect(limitsOf(bytes).segmentBytes).toBe(bytes)
    }
    expect(() => limitsOf(32 * 1024)).toThrow()
    expect(() => limitsOf(100_000)).toThrow()
  })

  it('are those of the design at 64 MiB', () => {
    expect(limitsOf(64 * 2 ** 20)).toMatchObject({
      chunkBytes: 2 ** 20,
      inlineBytesMax: 256 * 1024,
      groupBytesMax: 4 * 2 ** 20,
    })
  })

  it('choose segments of 64 MiB, and smaller ones for a small capacity', () => {
    expect(defaultSegmentBytes(1e12)).toBe(64 * 2 ** 20)
    expect(defaultSegmentBytes(2 ** 32)).toBe(64 * 2 ** 20)
    expect(defaultSegmentBytes(2 ** 32 - 1)).toBe(32 * 2 ** 20)
    expect(defaultSegmentBytes(300 * 2 ** 20)).toBe(4 * 2 ** 20)
    expect(defaultSegmentBytes(2 ** 20)).toBe(2 ** 20)
  })
})

function sample(seq: number): RecordInput {
  return { kind: 1, seq, label: Buffer.from('label'), head: Buffer.from('head'), body: [] }
}
