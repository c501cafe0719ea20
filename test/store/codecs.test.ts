import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import { decodeMutation, encodeMutation } from '../../src/store/model/mutation.ts'
import { decodeBucketEntry, encodeBucketEntry } from '../../src/store/tables/bucket-entry.ts'
import {
  decodeChangeEntry,
  decodeChangeSince,
  encodeChangeEntry,
} from '../../src/store/tables/change-entry.ts'
import { decodeLetterEntry, encodeLetterEntry } from '../../src/store/tables/letter-entry.ts'
import {
  chunkRecord,
  decodeRecord,
  needsBody,
  partRecord,
  plainRecord,
  putRecord,
  recordKinds,
} from '../../src/store/tables/records.ts'
import {
  decodeLiveEntry,
  decodeTombstone,
  encodeLiveEntry,
  encodeTombstone,
} from '../../src/store/tables/slot-entry.ts'
import { decodeExtents, encodeExtents } from '../../src/store/tables/small-entries.ts'
import type { RecordInput } from '../../src/volume/volume.ts'
import { blobId, context, location, meta, mutation, plain, slot, version } from './arbitraries.ts'

const stored = (input: RecordInput) => ({
  kind: input.kind,
  seq: input.seq,
  label: Buffer.from(input.label),
  head: Buffer.from(input.head),
})

describe('mutations', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(mutation, (given) => {
        expect(plain(decodeMutation(encodeMutation(given)))).toEqual(plain(given))
      }),
    )
  })

  it('answer damaged bytes with one error, whatever the damage', () => {
    fc.assert(
      fc.property(mutation, fc.uint8Array(), fc.nat(), (given, noise, at) => {
        const encoded = encodeMutation(given)
        const head = Buffer.concat([
          encoded.head.subarray(0, at % (encoded.head.length + 1)),
          noise,
        ])
        try {
          decodeMutation({ ...encoded, head })
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(MalformedBytesError)
        }
      }),
    )
  })

  it('refuse a kind that cannot be about their slot', () => {
    const purge = encodeMutation({
      kind: 'purge',
      slot: { kind: 'floor', bucket: 'photos' },
      version: '0000000000000001-a' as never,
      context: [],
    })
    expect(() => decodeMutation({ ...purge, kind: 'delete' })).toThrow(MalformedBytesError)
  })
})

describe('records', () => {
  it('of mutations decode to what was recorded, inline or as blobs', () => {
    const blobs = fc.array(fc.record({ id: blobId, size: fc.nat(), extents: fc.array(location) }))
    fc.assert(
      fc.property(
        mutation,
        fc.nat(),
        fc.option(blobs, { nil: undefined }),
        (given, seq, placed) => {
          const record =
            given.kind === 'put'
              ? putRecord(
                  seq,
                  encodeMutation(given),
                  placed ? { blobs: placed } : { bytes: Buffer.from('x') },
                )
              : plainRecord(seq, given)
          const body = Buffer.concat(record.body)
          const decoded = decodeRecord(stored(record), needsBody(stored(record)) ? body : undefined)
          expect(decoded).toMatchObject({ kind: given.kind })
          if (!('mutation' in decoded)) throw new Error('a mutation decodes to a mutation')
          expect(plain(decoded.mutation)).toEqual(plain(given))
          if (decoded.kind === 'put') expect(decoded.blobs).toEqual(placed)
        },
      ),
    )
  })

  it('of parts and chunks name their blob', () => {
    fc.assert(
      fc.property(blobId, fc.array(location), (id, extents) => {
        const record = partRecord(Buffer.from('label'), { id, size: 9, extents })
        const decoded = decodeRecord(stored(record), Buffer.concat(record.body))
        expect(decoded).toMatchObject({ kind: 'part', part: { id, size: 9, extents } })
        expect(Buffer.from(chunkRecord(id, 3, Buffer.of(1)).label).toString('hex')).toBe(`${id}03`)
      }),
    )
  })

  it('of a kind from the future are refused by number', () => {
    const record = { kind: 99, seq: 1, label: Buffer.alloc(0), head: Buffer.alloc(0) }
    expect(() => decodeRecord(record, undefined)).toThrow(/kind 99/)
  })

  it('keep their numbers, which are on disks', () => {
    expect(recordKinds).toEqual({
      put: 1,
      delete: 2,
      purge: 3,
      bucket: 4,
      chunk: 5,
      upload: 6,
      part: 7,
      abort: 8,
      deadletter: 9,
      join: 10,
      remote: 11,
      conflict: 12,
      resolved: 13,
    })
  })
})

describe('index values', () => {
  it('of live objects and tombstones decode to what was encoded', () => {
    const blob = fc.record({ id: blobId, size: fc.nat() })
    const body = fc.oneof(
      fc.constant({ kind: 'inline' as const }),
      fc.record({ kind: fc.constant('blobs' as const), blobs: fc.array(blob) }),
    )
    const live = fc
      .record({ seq: fc.nat(), version, context, meta, body, location, older: fc.nat() })
      .chain((entry) =>
        fc.option(location, { nil: undefined }).map((joinLocation) => ({
          kind: 'live' as const,
          ...entry,
          joinLocation,
          recordSeq: joinLocation === undefined ? entry.seq : entry.older,
        })),
      )
    fc.assert(
      fc.property(live, ({ older, ...entry }) => {
        expect(plain(decodeLiveEntry(encodeLiveEntry(entry)))).toEqual(plain(entry))
        expect(older).toBeGreaterThanOrEqual(0)
        const { seq, location: at } = entry
        const tombstone = {
          kind: 'tombstone' as const,
          seq,
          version: entry.version,
          context: entry.context,
          location: at,
        }
        expect(decodeTombstone(encodeTombstone(tombstone))).toEqual(tombstone)
      }),
    )
  })

  it('of buckets decode to what was encoded', () => {
    const optionalVersion = fc.option(version, { nil: undefined })
    const place = fc.option(fc.record({ seq: fc.nat(), location }), { nil: undefined })
    const entry = fc.record({
      created: optionalVersion,
      deleted: optionalVersion,
      register: place,
      floor: optionalVersion,
      floorContext: context,
      floorPlace: place,
      swept: optionalVersion,
      sweeping: fc.boolean(),
      objectCount: fc.nat(),
      objectBytes: fc.maxSafeNat(),
      seen: context,
    })
    fc.assert(
      fc.property(entry, (given) => {
        expect(decodeBucketEntry(encodeBucketEntry(given))).toEqual(given)
      }),
    )
  })

  it('of places, letters and extents decode to what was encoded', () => {
    const place = fc.record({
      seq: fc.nat(),
      slot,
      version,
      bytes: fc.maxSafeNat(),
      since: fc.nat(),
    })
    const letter = fc.record({
      seq: fc.nat(),
      slot,
      version,
      bytes: fc.nat(),
      reason: fc.string({ unit: 'grapheme' }),
      attempts: fc.nat(),
      time: fc.nat(),
    })
    fc.assert(
      fc.property(place, letter, location, fc.array(location), (given, dead, at, extents) => {
        const encoded = encodeChangeEntry(given)
        expect(decodeChangeEntry(given.seq, encoded)).toEqual(given)
        expect(decodeChangeSince(encoded)).toBe(given.since)
        expect(decodeLetterEntry(encodeLetterEntry({ letter: dead, location: at }))).toEqual({
          letter: dead,
          location: at,
        })
        expect(decodeExtents(encodeExtents(extents))).toEqual(extents)
      }),
    )
  })

  it('of a newer format are refused by name', () => {
    expect(() => decodeTombstone(Buffer.of(2, 0, 0))).toThrow(/format 2, this program knows 1/)
  })
})
