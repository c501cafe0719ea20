/**
 * Compares the log with its index, both ways: every record before the checkpoint with what the index has
 * of its slot, then every entry with the records that were found, and the totals with what they count.
 * Needs memory for eight bytes a record, whatever the size of the volume.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location, LogPosition, SegmentUse } from '../../volume/volume.ts'
import { decodeLabel } from '../model/mutation.ts'
import type { FeedPlace } from '../model/object-store.ts'
import { type Slot, slotText } from '../model/slot.ts'
import { type BucketEntry, decodeBucketEntry, emptyBucket } from '../tables/bucket-entry.ts'
import { decodeChangeEntry } from '../tables/change-entry.ts'
import { summarizeIndex } from '../tables/index-summary.ts'
import {
  blobKey,
  bucketKey,
  bucketsRange,
  changeKey,
  nameOf,
  objectKey,
  remoteKey,
  seqOf,
  stateKey,
  tombstoneKey,
} from '../tables/keys.ts'
import { readChunks } from '../tables/read-all.ts'
import { recordKinds } from '../tables/records.ts'
import { decodeRemoteEntry, decodeRemoteRecord } from '../tables/remote-entry.ts'
import { decodeLiveEntry, decodeTombstone, type SlotEntry } from '../tables/slot-entry.ts'
import { decodeStoreState, type SegmentCount } from '../tables/small-entries.ts'
import {
  bucketRecords,
  type ClaimedPlace,
  chunksOf,
  claimsOf,
  type IndexClaims,
} from './index-references.ts'
import { type ExpectedRecord, VerifiedRecords } from './verified-records.ts'

export interface IndexFinding {
  /**
   * `unindexed`: a record that should be in the index is not. `dangling`: an entry refers to a record that
   * is not there. `feed`: a place is missing. `count`: a total is wrong. `value`: an entry does not decode.
   */
  readonly kind: 'unindexed' | 'dangling' | 'feed' | 'count' | 'value'
  readonly message: string
  readonly location?: Location
  readonly bucket?: string | undefined
  readonly key?: string | undefined
  readonly seq?: number
}

/** A record that checks out. */
export interface CheckedRecord extends ExpectedRecord {
  readonly head: Uint8Array
  /** Behind its group. */
  readonly groupEnd: LogPosition
}

type Listener = (finding: IndexFinding) => void

export class IndexCheck {
  readonly #index: OrderedIndex
  readonly #report: Listener
  readonly #records = new VerifiedRecords()
  readonly #checkpoint: LogPosition | undefined
  readonly #live = new Map<number, SegmentCount>()
  readonly #buckets = new Map<string, { objects: number; bytes: number }>()
  #places = 0
  #claimedPlaces = 0
  #placeBytes = 0
  #blobs = 0
  #ownedBlobs = 0

  constructor(index: OrderedIndex, report: Listener) {
    this.#index = index
    this.#report = report
    const state = index.get(stateKey)
    this.#checkpoint = state === undefined ? undefined : decodeStoreState(state).checkpoint
  }

  // --- from the log to the index

  /** What follows is in this segment. */
  segment(use: SegmentUse): void {
    this.#records.begin(use)
  }

  /** In the order of the log. */
  record(record: CheckedRecord): void {
    try {
      if (this.#isDead(record)) return
    } catch (thrown) {
      this.#undecodable(thrown, record)
    }
    this.#records.add(record)
  }

  /** Whether nothing refers to it any more. Reports what should be referred to and is not. */
  #isDead(record: CheckedRecord): boolean {
    if (!this.#isIndexed(record.groupEnd)) return false
    switch (record.kind) {
      case recordKinds.put:
      case recordKinds.delete:
      case recordKinds.join:
        return this.#isDeadInSlot(record)
      case recordKinds.bucket:
      case recordKinds.purge: {
        const { slot } = decodeLabel(record.label)
        const { register, floorPlace } = this.#bucket(slot.bucket)
        const place = record.kind === recordKinds.bucket ? register : floorPlace
        if (place !== undefined && place.seq > record.seq) return true
        this.#expectAt(record, place?.seq === record.seq ? place.location : undefined, slot)
        return false
      }
      case recordKinds.remote: {
        const name = Buffer.from(record.label).toString()
        const { revision } = decodeRemoteRecord(name, record.head)
        const stored = this.#index.get(remoteKey(name))
        const entry = stored && decodeRemoteEntry(name, stored)
        if (entry !== undefined && entry.record.revision > revision) return true
        this.#expectAt(record, entry?.record.revision === revision ? entry.location : undefined)
        return false
      }
      default:
        // Whether these are still needed is nowhere in the log but in later records of their own.
        return false
    }
  }

  #isDeadInSlot(record: CheckedRecord): boolean {
    const { slot, version } = decodeLabel(record.label)
    if (slot.kind !== 'object') return false
    const entry = this.#slotEntry(slot.bucket, slot.key)
    const { seq, kind } = record
    if (entry === undefined || entry.seq < seq) {
      const { floor } = this.#bucket(slot.bucket)
      if (floor !== undefined && version <= floor) return true
      this.#expectAt(record, undefined, slot)
      return false
    }
    const isPut = kind === recordKinds.put
    const current = entry.kind === 'live' && isPut ? entry.recordSeq : entry.seq
    if (current !== seq) return true
    if (entry.kind === 'tombstone' || isPut) {
      this.#expectAt(record, entry.location, slot)
      return false
    }
    // The put was moved with the wider context in it.
    if (entry.joinLocation === undefined) return true
    this.#expectAt(record, entry.joinLocation, slot)
    return false
  }

  /** The last of several copies counts: so the index may be ahead of this one, and not behind. */
  #expectAt(record: CheckedRecord, found: Location | undefined, slot?: Slot): void {
    if (found !== undefined && !isBefore(found, record.location)) return
    const message =
      found === undefined
        ? 'it stands in the log, and the index has nothing of it'
        : 'the index refers to an earlier copy of it'
    const { location, seq } = record
    this.#report({ kind: 'unindexed', message, location, seq, ...namesOf(slot) })
  }

  #isIndexed(groupEnd: LogPosition): boolean {
    const checkpoint = this.#checkpoint
    if (checkpoint === undefined) return false
    if (groupEnd.generation !== checkpoint.generation) {
      return groupEnd.generation < checkpoint.generation
    }
    return groupEnd.offset <= checkpoint.offset
  }

  // --- from the index to the log

  /** @param onEntry told how many it has looked at */
  async entries(onEntry: (count: number) => void): Promise<void> {
    let count = 0
    for await (const entries of readChunks(this.#index, {
      gte: Buffer.of(0),
      lt: Buffer.of(255),
    })) {
      for (const [key, value] of entries) this.#entry(key, value)
      count += entries.length
      onEntry(count)
    }
    await this.#totals()
  }

  #entry(key: Buffer, value: Buffer): void {
    const table = String.fromCharCode(key[0] ?? 0)
    try {
      if (table === 'c') {
        this.#places++
        this.#placeBytes += decodeChangeEntry(seqOf(key), value).bytes
        return
      }
      if (table === 'l') this.#blobs++
      this.#claims(claimsOf(key, value))
    } catch (thrown) {
      rethrowAssertion(thrown)
      const message = `an entry of table ${table} does not decode: ${messageOf(thrown)}`
      this.#report({ kind: 'value', message, key: key.toString('utf8', 1) })
    }
  }

  #claims(claims: IndexClaims): void {
    const { bucket, bucketEntry, places, blobs, size } = claims
    for (const place of places) this.#claimPlace(place)
    const records =
      bucket === undefined || bucketEntry === undefined
        ? claims.records
        : bucketRecords(bucket, bucketEntry, (seq) => this.#placeAt(seq)?.version)
    for (const record of records) this.#claimRecord(record, claims)
    for (const id of blobs) {
      this.#ownedBlobs++
      const extents = this.#index.get(blobKey(id))
      if (extents === undefined) {
        this.#dangling(`the index does not know where blob ${id} lies`, claims)
        continue
      }
      for (const chunk of chunksOf(id, extents)) this.#claimRecord(chunk, claims)
    }
    if (bucket === undefined || size === undefined) return
    const sum = this.#buckets.get(bucket) ?? { objects: 0, bytes: 0 }
    this.#buckets.set(bucket, { objects: sum.objects + 1, bytes: sum.bytes + size })
  }

  #claimPlace(claimed: ClaimedPlace): void {
    this.#claimedPlaces++
    const { seq, slot, version, bytes } = claimed
    const place = this.#placeAt(seq)
    const isRight =
      place !== undefined &&
      slotText(place.slot) === slotText(slot) &&
      place.bytes === bytes &&
      (version === undefined || place.version === version)
    if (isRight) return
    const what = place === undefined ? 'is missing' : 'is of something else'
    const message = `its place in the change feed ${what}`
    this.#report({ kind: 'feed', message, seq, ...namesOf(slot) })
  }

  #claimRecord(record: ExpectedRecord, claims: IndexClaims): void {
    const { location } = record
    const { version, bucket } = claims
    const isThere = this.#records.has(location)
    if (!isThere && version !== undefined && bucket !== undefined) {
      const { floor } = this.#bucket(bucket)
      // It waits for the sweep, and is not counted where its segment was freed before a rebuild.
      if (floor !== undefined && version <= floor) return
    }
    const { segment, generation, headLength, bodyLength } = location
    const sum = this.#live.get(segment) ?? { generation, records: 0, bytes: 0 }
    const bytes = sum.bytes + headLength + bodyLength
    this.#live.set(segment, { generation, records: sum.records + 1, bytes })
    const mismatch = this.#records.mismatch(record)
    if (mismatch !== undefined) this.#dangling(mismatch, claims, record)
  }

  #dangling(message: string, { bucket, key }: IndexClaims, record?: ExpectedRecord): void {
    const at = record === undefined ? {} : { location: record.location, seq: record.seq }
    this.#report({ kind: 'dangling', message, bucket, key, ...at })
  }

  async #totals(): Promise<void> {
    const { places, segments } = await summarizeIndex(this.#index)
    const state = this.#index.get(stateKey)
    const placeBytes = state === undefined ? 0 : decodeStoreState(state).placeBytes
    this.#same('places of the feed', this.#places, places)
    this.#same('bytes of the places of the feed', this.#placeBytes, placeBytes)
    this.#same('places that entries hold', this.#claimedPlaces, this.#places)
    this.#same('blobs that entries own', this.#ownedBlobs, this.#blobs)
    for (const segment of new Set([...segments.keys(), ...this.#live.keys()])) {
      const counted = segments.get(segment)
      const found = this.#live.get(segment)
      this.#same(`live records in segment ${segment}`, found?.records ?? 0, counted?.records ?? 0)
      this.#same(`live bytes in segment ${segment}`, found?.bytes ?? 0, counted?.bytes ?? 0)
    }
    for await (const entries of readChunks(this.#index, bucketsRange)) {
      for (const [key, value] of entries) this.#bucketTotals(nameOf(key), decodeBucketEntry(value))
    }
  }

  #bucketTotals(bucket: string, { objectCount, objectBytes }: BucketEntry): void {
    const { objects, bytes } = this.#buckets.get(bucket) ?? { objects: 0, bytes: 0 }
    this.#same(`objects in ${bucket}`, objects, objectCount)
    this.#same(`bytes of objects in ${bucket}`, bytes, objectBytes)
  }

  #same(what: string, found: number, counted: number): void {
    if (found === counted) return
    const message = `there are ${found} ${what}, the index counts ${counted}`
    this.#report({ kind: 'count', message })
  }

  // --- look-ups

  #slotEntry(bucket: string, key: string): SlotEntry | undefined {
    const live = this.#index.get(objectKey(bucket, key))
    if (live !== undefined) return decodeLiveEntry(live)
    const tombstone = this.#index.get(tombstoneKey(bucket, key))
    return tombstone === undefined ? undefined : decodeTombstone(tombstone)
  }

  #bucket(bucket: string): BucketEntry {
    const stored = this.#index.get(bucketKey(bucket))
    return stored === undefined ? emptyBucket : decodeBucketEntry(stored)
  }

  #placeAt(seq: number): FeedPlace | undefined {
    const stored = this.#index.get(changeKey(seq))
    return stored === undefined ? undefined : decodeChangeEntry(seq, stored)
  }

  #undecodable(thrown: unknown, { location, seq }: CheckedRecord): void {
    rethrowAssertion(thrown)
    const message = `a record, or what the index has of it, does not decode: ${messageOf(thrown)}`
    this.#report({ kind: 'value', message, location, seq })
  }
}

function namesOf(slot: Slot | undefined): Pick<IndexFinding, 'bucket' | 'key'> {
  if (slot === undefined) return {}
  return slot.kind === 'object' ? { bucket: slot.bucket, key: slot.key } : { bucket: slot.bucket }
}

function isBefore(a: Location, b: Location): boolean {
  return a.generation === b.generation ? a.offset < b.offset : a.generation < b.generation
}
