/** The change feed as a view of the index: places in seq order, changes as they are now. */
import type { OrderedIndex } from '../index/ordered-index.ts'
import type { Accounts } from './accounts.ts'
import { registerVersion } from './bucket-register.ts'
import type { Mutation } from './mutation.ts'
import type { ChangeFeed, FeedPlace, OutgoingChange } from './object-store.ts'
import type { Slot } from './slot.ts'
import { openStored, type RecordReader } from './stored-object.ts'
import { decodeChangeEntry } from './tables/change-entry.ts'
import { changesAfter, objectKey, seqOf, tombstoneKey } from './tables/keys.ts'
import { decodeLiveEntry, decodeTombstone, type LiveEntry } from './tables/slot-entry.ts'

export class IndexedChangeFeed implements ChangeFeed {
  readonly #index: OrderedIndex
  readonly #accounts: Accounts
  readonly #reader: RecordReader
  readonly #listeners = new Set<() => void>()
  #head: number

  constructor(options: {
    readonly index: OrderedIndex
    readonly accounts: Accounts
    readonly reader: RecordReader
  }) {
    this.#index = options.index
    this.#accounts = options.accounts
    this.#reader = options.reader
    this.#head = options.accounts.state.seq
  }

  head(): number {
    return this.#head
  }

  placeCount(): number {
    return this.#accounts.state.places
  }

  async readPlaces(after: number, limit: number): Promise<readonly FeedPlace[]> {
    // Whoever keeps up asks once too often each time: a cursor would cost more than all the rest.
    if (after >= this.#head) return []
    const cursor = this.#index.iterate(changesAfter(after))
    try {
      const entries = await cursor.next(limit)
      return entries.map(([key, value]) => decodeChangeEntry(seqOf(key), value))
    } finally {
      await cursor.close()
    }
  }

  loadChange(place: FeedPlace): OutgoingChange | undefined {
    switch (place.slot.kind) {
      case 'object':
        return this.#loadObject(place, place.slot)
      case 'bucket':
        return this.#loadBucket(place, place.slot)
      case 'floor':
        return this.#loadFloor(place, place.slot)
    }
  }

  placeOf(slot: Slot): Pick<FeedPlace, 'seq' | 'slot'> | undefined {
    const { register, floor, floorPlace } = this.#accounts.bucket(slot.bucket)
    const ofFloor: typeof slot = { kind: 'floor', bucket: slot.bucket }
    const purge = floorPlace && { seq: floorPlace.seq, slot: ofFloor }
    switch (slot.kind) {
      case 'bucket':
        return register && { seq: register.seq, slot }
      case 'floor':
        return purge
      case 'object': {
        const { bucket, key } = slot
        const live = this.#index.get(objectKey(bucket, key))
        const dead = live === undefined ? this.#index.get(tombstoneKey(bucket, key)) : undefined
        const entry = live ? decodeLiveEntry(live) : dead && decodeTombstone(dead)
        const isCovered = entry === undefined || (floor !== undefined && entry.version <= floor)
        return isCovered ? purge : { seq: entry.seq, slot }
      }
    }
  }

  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Called after each index batch. */
  advanced(): void {
    const { seq } = this.#accounts.state
    if (seq === this.#head) return
    this.#head = seq
    for (const listener of this.#listeners) listener()
  }

  #loadObject(place: FeedPlace, slot: Slot & { kind: 'object' }): OutgoingChange | undefined {
    const { bucket, key } = slot
    const { floor } = this.#accounts.bucket(bucket)
    const find = (): LiveEntry | undefined => {
      const live = this.#index.get(objectKey(bucket, key))
      const entry = live === undefined ? undefined : decodeLiveEntry(live)
      return entry?.seq === place.seq && !(floor !== undefined && entry.version <= floor)
        ? entry
        : undefined
    }
    const entry = find()
    if (entry !== undefined) {
      const object = openStored(slot, find, { reader: this.#reader, index: this.#index })
      if (object === undefined) return undefined
      const { version, context, meta, seq } = entry
      return { seq, mutation: { kind: 'put', slot, version, context, meta }, object }
    }
    const tombstone = this.#index.get(tombstoneKey(bucket, key))
    if (tombstone === undefined) return undefined
    const { seq, version, context } = decodeTombstone(tombstone)
    if (seq !== place.seq) return undefined
    return { seq, mutation: { kind: 'delete', slot, version, context }, object: undefined }
  }

  #loadBucket(place: FeedPlace, slot: Slot & { kind: 'bucket' }): OutgoingChange | undefined {
    const { register, created, deleted, conflictPolicy } = this.#accounts.bucket(slot.bucket)
    const version = registerVersion({ created, deleted, conflictPolicy })
    if (register?.seq !== place.seq || version === undefined) return undefined
    const mutation: Mutation = { kind: 'bucket', slot, version, created, deleted, conflictPolicy }
    return { seq: place.seq, mutation, object: undefined }
  }

  #loadFloor(place: FeedPlace, slot: Slot & { kind: 'floor' }): OutgoingChange | undefined {
    const { floor, floorContext, floorPlace } = this.#accounts.bucket(slot.bucket)
    if (floorPlace?.seq !== place.seq || floor === undefined) return undefined
    const mutation: Mutation = { kind: 'purge', slot, version: floor, context: floorContext }
    return { seq: place.seq, mutation, object: undefined }
  }
}
