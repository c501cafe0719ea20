/** What an entry of the index claims: the records it refers to, and the entries that must be beside it. */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location, SegmentUse } from '../../volume/volume.ts'
import { decodeUpload } from '../intake/uploads.ts'
import { encodeLabel } from '../model/mutation.ts'
import { objectSlot, type Slot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import { type BucketEntry, decodeBucketEntry } from '../tables/bucket-entry.ts'
import { decodeChangeEntry } from '../tables/change-entry.ts'
import { conflictLabel, decodeConflictEntry } from '../tables/conflict-entry.ts'
import { changeKey, nameOf } from '../tables/keys.ts'
import { decodeLetterEntry } from '../tables/letter-entry.ts'
import { readChunks } from '../tables/read-all.ts'
import { chunkLabel, recordKinds } from '../tables/records.ts'
import { decodeRemoteEntry } from '../tables/remote-entry.ts'
import { decodeLiveEntry, decodeTombstone, type SlotEntry } from '../tables/slot-entry.ts'
import { decodeExtents } from '../tables/small-entries.ts'
import type { ExpectedRecord } from './verified-records.ts'

/** A place of the feed that an entry holds. */
export interface ClaimedPlace {
  readonly seq: number
  /** Undefined where only the place tells it. */
  readonly version: Version | undefined
  readonly slot: Slot
  readonly bytes: number
}

export interface IndexClaims {
  readonly bucket?: string
  readonly key?: string
  readonly records: readonly ExpectedRecord[]
  readonly places: readonly ClaimedPlace[]
  /** Ids of blobs that it owns. */
  readonly blobs: readonly string[]
  /** It lies under its bucket's floor when that is at or above this. */
  readonly version?: Version
  /** Of an object. */
  readonly size?: number
  readonly bucketEntry?: BucketEntry
}

const nothing: IndexClaims = { records: [], places: [], blobs: [] }

/** @throws MalformedBytesError, CorruptIndexError */
export function claimsOf(key: Buffer, value: Buffer): IndexClaims {
  switch (String.fromCharCode(key[0] ?? 0)) {
    case 'o':
      return slotClaims(key, decodeLiveEntry(value))
    case 't':
      return slotClaims(key, decodeTombstone(value))
    case 'b':
      return bucketClaims(nameOf(key), decodeBucketEntry(value))
    case 'l':
      // Its chunks are claimed by its owner, who has a name.
      decodeExtents(value)
      return nothing
    case 'u':
      return uploadClaims(value)
    case 'd': {
      const { letter, location } = decodeLetterEntry(value)
      const label = encodeLabel(letter.slot, letter.version)
      return { ...nothing, records: [plain(recordKinds.deadletter, label, location)] }
    }
    case 'n': {
      const { record, location } = decodeRemoteEntry(nameOf(key), value)
      const label = Buffer.from(record.name)
      return { ...nothing, records: [plain(recordKinds.remote, label, location)] }
    }
    case 'x': {
      const { conflict, location } = decodeConflictEntry(value)
      const { bucket, key: name } = conflict
      const label = conflictLabel(conflict)
      return {
        ...nothing,
        bucket,
        key: name,
        records: [plain(recordKinds.conflict, label, location)],
      }
    }
    default:
      return nothing
  }
}

/** Of a record that takes no place in the feed. */
function plain(kind: number, label: Uint8Array, location: Location): ExpectedRecord {
  return { kind, seq: 0, label, location }
}

/** `bucket NUL key` behind the table's byte. */
function slotNameIn(indexKey: Buffer): { readonly bucket: string; readonly key: string } {
  const end = indexKey.indexOf(0, 1)
  return { bucket: indexKey.toString('utf8', 1, end), key: indexKey.toString('utf8', end + 1) }
}

function slotClaims(indexKey: Buffer, entry: SlotEntry): IndexClaims {
  const { bucket, key } = slotNameIn(indexKey)
  const { seq, version, location } = entry
  const slot = objectSlot(bucket, key)
  const label = encodeLabel(slot, version)
  const records: ExpectedRecord[] = []
  const add = (kind: number, recordSeq: number, at: Location | undefined): void => {
    if (at !== undefined) records.push({ kind, seq: recordSeq, label, location: at })
  }
  if (entry.kind === 'tombstone') {
    add(recordKinds.delete, seq, location)
    const places = [{ seq, version, slot, bytes: 0 }]
    return { bucket, key, records, places, blobs: [], version }
  }
  add(recordKinds.put, entry.recordSeq, location)
  add(recordKinds.join, seq, entry.joinLocation)
  const blobs = entry.body.kind === 'blobs' ? entry.body.blobs.map(({ id }) => id) : []
  const { size } = entry.meta
  const places = [{ seq, version, slot, bytes: size }]
  return { bucket, key, records, places, blobs, version, size }
}

function bucketClaims(bucket: string, entry: BucketEntry): IndexClaims {
  const places: ClaimedPlace[] = []
  const { register, floorPlace, floor } = entry
  if (register !== undefined) {
    const slot = { kind: 'bucket', bucket } as const
    places.push({ seq: register.seq, version: undefined, slot, bytes: 0 })
  }
  if (floorPlace !== undefined) {
    const slot = { kind: 'floor', bucket } as const
    places.push({ seq: floorPlace.seq, version: floor, slot, bytes: 0 })
  }
  return { bucket, records: [], places, blobs: [], bucketEntry: entry }
}

/** The records of a bucket itself: labelled with the version that their place has. */
export function bucketRecords(
  bucket: string,
  entry: BucketEntry,
  versionAt: (seq: number) => Version | undefined,
): readonly ExpectedRecord[] {
  const records: ExpectedRecord[] = []
  for (const kind of ['bucket', 'purge'] as const) {
    const place = kind === 'bucket' ? entry.register : entry.floorPlace
    const version = place && versionAt(place.seq)
    if (place === undefined || version === undefined) continue
    const slot = { kind: kind === 'bucket' ? 'bucket' : 'floor', bucket } as const
    const { seq, location } = place
    records.push({ kind: recordKinds[kind], seq, label: encodeLabel(slot, version), location })
  }
  return records
}

/** @param extents as the index has them */
export function chunksOf(blobId: string, extents: Uint8Array): readonly ExpectedRecord[] {
  const id = Buffer.from(blobId, 'hex')
  return decodeExtents(extents).map((location, index) =>
    plain(recordKinds.chunk, chunkLabel(id, index), location),
  )
}

function uploadClaims(value: Buffer): IndexClaims {
  const { label, location, parts, bucket, key } = decodeUpload(value)
  const records = [plain(recordKinds.upload, label, location)]
  for (const part of parts) records.push(plain(recordKinds.part, label, part.location))
  return { bucket, key, records, places: [], blobs: parts.map(({ id }) => id) }
}

/** What the index refers to in a segment of the log. Reads all of it. */
export async function recordsReferredTo(
  index: OrderedIndex,
  { segment, generation }: SegmentUse,
): Promise<readonly ExpectedRecord[]> {
  const versionAt = (seq: number): Version | undefined => {
    const place = index.get(changeKey(seq))
    return place === undefined ? undefined : decodeChangeEntry(seq, place).version
  }
  const found: ExpectedRecord[] = []
  for await (const entries of readChunks(index, { gte: Buffer.of(0), lt: Buffer.of(255) })) {
    for (const [key, value] of entries) {
      const { records, bucket, bucketEntry } = claimsOf(key, value)
      const all =
        bucketEntry === undefined ? records : bucketRecords(bucket ?? '', bucketEntry, versionAt)
      for (const record of all) {
        const { location } = record
        if (location.segment === segment && location.generation === generation) found.push(record)
      }
    }
  }
  return found
}
