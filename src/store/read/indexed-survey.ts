/** The survey of one machine's store: see {@link Survey} for what it promises. */
import { hash } from 'node:crypto'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { IndexEntry, OrderedIndex } from '../../index/ordered-index.ts'
import { encodeMutation } from '../model/mutation.ts'
import type { ObjectSlot, Slot } from '../model/slot.ts'
import type {
  BucketState,
  RangeDigest,
  RangePiece,
  SlotState,
  Survey,
  SurveyEntry,
  SurveyRange,
  SurveyTable,
} from '../model/survey.ts'
import { higher, type Version } from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import type { BucketEntry } from '../tables/bucket-entry.ts'
import { keyStart, objectKey, slotsBetween, tombstoneKey } from '../tables/keys.ts'
import { decodeLiveEntry } from '../tables/slot-entry.ts'
import { type SlotIdentity, slotIdentity, versionIn } from '../tables/slot-identity.ts'
import { type FoundEntry, RangeDigester } from './range-digester.ts'

/** Entries read at a time: between two reads, everything else gets its turn. */
const chunk = 512
const entryDigestBytes = 16
const absent: SlotState = { kind: 'absent', seq: 0, version: undefined, digest: '', bytes: 0 }

export class IndexedSurvey implements Survey {
  readonly #index: OrderedIndex
  readonly #accounts: Accounts

  constructor(options: { readonly index: OrderedIndex; readonly accounts: Accounts }) {
    this.#index = options.index
    this.#accounts = options.accounts
  }

  async buckets(after: string, limit: number): Promise<readonly BucketState[]> {
    const all = [...(await this.#accounts.allBuckets())].filter(([bucket]) => bucket > after)
    const page = all.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, limit)
    return page.map(([bucket, { created, deleted, floor }]) => ({
      bucket,
      created,
      deleted,
      floor,
    }))
  }

  async digest(range: SurveyRange, limit: number): Promise<RangeDigest> {
    const digester = new RangeDigester()
    for await (const entries of this.#walk(range)) {
      if (digester.count + entries.length > limit) return { count: limit, digest: undefined }
      for (const entry of entries) digester.add(entry)
    }
    return digester.finish()
  }

  async cut(
    range: SurveyRange,
    size: { readonly pieces: number; readonly entries: number },
  ): Promise<readonly RangePiece[]> {
    const pieces: RangePiece[] = []
    let digester = new RangeDigester()
    let after = range.after
    let last = ''
    for await (const entries of this.#walk(range)) {
      for (const entry of entries) {
        if (digester.count === size.entries) {
          pieces.push({ ...range, after, until: last, ...digester.finish() })
          if (pieces.length === size.pieces) return pieces
          after = last
          digester = new RangeDigester()
        }
        digester.add(entry)
        if (digester.count === size.entries) last = keyOf(entry)
      }
    }
    return [...pieces, { ...range, after, ...digester.finish() }]
  }

  async list(range: SurveyRange, limit: number): Promise<readonly SurveyEntry[]> {
    const entries: SurveyEntry[] = []
    for await (const found of this.#walk(range)) {
      for (const entry of found) {
        const digest = entryDigest(entry.identity)
        entries.push({ key: keyOf(entry), version: versionIn(entry.identity), digest })
        if (entries.length === limit) return entries
      }
    }
    return entries
  }

  stateOf(slot: Slot): SlotState {
    const entry = this.#accounts.bucket(slot.bucket)
    switch (slot.kind) {
      case 'object':
        return this.#objectState(slot, entry.floor)
      case 'bucket':
        return registerState(slot, entry)
      case 'floor':
        return floorState(entry)
    }
  }

  #objectState({ bucket, key }: ObjectSlot, floor: Version | undefined): SlotState {
    const live = this.#index.get(objectKey(bucket, key))
    const value = live ?? this.#index.get(tombstoneKey(bucket, key))
    if (value === undefined) return absent
    const table: SurveyTable = live === undefined ? 'tombstones' : 'objects'
    const identity = slotIdentity(table, value)
    const { seq } = identity
    const version = versionIn(identity)
    if (isUnder(floor, version)) return absent
    const digest = entryDigest(identity).toString('hex')
    if (live === undefined) return { kind: 'deleted', seq, version, digest, bytes: 0 }
    return { kind: 'live', seq, version, digest, bytes: decodeLiveEntry(live).meta.size }
  }

  /** The entries of a range above the floor, in order. */
  async *#walk(range: SurveyRange): AsyncGenerator<readonly FoundEntry[]> {
    const { table, bucket, after, until } = range
    const floor = higher(this.#accounts.bucket(bucket).floor, range.floor)
    const keyAt = keyStart(bucket)
    const cursor = this.#index.iterate(slotsBetween(table, { bucket, after, until }))
    try {
      for (;;) {
        const entries: readonly IndexEntry[] = await cursor.next(chunk)
        if (entries.length === 0) return
        const found: FoundEntry[] = []
        for (const [key, value] of entries) {
          const identity = slotIdentity(table, value)
          if (floor !== undefined && versionIn(identity) <= floor) continue
          found.push({ indexKey: key, keyAt, identity })
        }
        yield found
      }
    } finally {
      await cursor.close()
    }
  }
}

function keyOf({ indexKey, keyAt }: FoundEntry): string {
  return indexKey.toString('utf8', keyAt)
}

function entryDigest(identity: SlotIdentity): Buffer {
  const { value, versionAt, versionEnd, metaAt, metaEnd } = identity
  const parts = [value.subarray(versionAt, versionEnd), value.subarray(metaAt, metaEnd)]
  return hash('sha256', Buffer.concat(parts), 'buffer').subarray(0, entryDigestBytes)
}

function isUnder(floor: Version | undefined, version: Version): boolean {
  return floor !== undefined && version <= floor
}

function registerState(
  slot: Slot & { readonly kind: 'bucket' },
  { register, created, deleted }: BucketEntry,
): SlotState {
  const version = higher(created, deleted)
  if (register === undefined || version === undefined) return absent
  const { head } = encodeMutation({ kind: 'bucket', slot, version, created, deleted })
  const digest = head.toString('hex')
  return { kind: 'live', seq: register.seq, version, digest, bytes: 0 }
}

function floorState({ floorPlace, floor }: BucketEntry): SlotState {
  if (floorPlace === undefined || floor === undefined) return absent
  const digest = new ByteWriter(64).text(floor).finish().toString('hex')
  return { kind: 'live', seq: floorPlace.seq, version: floor, digest, bytes: 0 }
}
