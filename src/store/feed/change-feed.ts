/** The change feed as a view of the index: places in seq order, changes as they are now. */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { openStored, type RecordReader } from '../bodies/stored-object.ts'
import { registerVersion } from '../model/bucket-register.ts'
import { encodeLabel, encodeMutation, type Mutation } from '../model/mutation.ts'
import type {
  ChangeFeed,
  EncodedChange,
  FeedPlace,
  OpenObject,
  OutgoingChange,
} from '../model/object-store.ts'
import type { ObjectSlot, Slot } from '../model/slot.ts'
import type { Accounts } from '../tables/accounts.ts'
import { decodeChangeEntry } from '../tables/change-entry.ts'
import type { FeedMove } from '../tables/index-batch.ts'
import { changesAfter, objectKey, seqOf, tombstoneKey } from '../tables/keys.ts'
import { decodeLiveEntry, decodeTombstone, type LiveEntry } from '../tables/slot-entry.ts'
import { headIn } from '../tables/slot-identity.ts'
import { RecentChanges } from './recent-changes.ts'

interface FoundEntry {
  readonly entry: LiveEntry
  readonly value: Buffer
}

export class IndexedChangeFeed implements ChangeFeed {
  readonly #index: OrderedIndex
  readonly #accounts: Accounts
  readonly #reader: RecordReader
  readonly #listeners = new Set<() => void>()
  readonly #recent: RecentChanges
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
    this.#recent = new RecentChanges(this.#head)
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
    const recent = this.#recent.placesAfter(after, limit)
    if (recent !== undefined) return recent
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

  loadEncoded(place: FeedPlace, bytesMax: number): EncodedChange | undefined {
    const { slot, seq } = place
    if (slot.kind !== 'object') return encodedChange(this.loadChange(place))
    const written = this.#recent.writtenAt(seq)
    const isSmall = written?.bytes === undefined || written.bytes.length <= bytesMax
    if (written !== undefined && isSmall && !this.#isCovered(place)) {
      return { seq, version: place.version, ...written, object: undefined }
    }
    return this.#loadEncodedObject(place, slot)
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

  /** Called after each index batch, with what it did to the feed. */
  advanced(moves: readonly FeedMove[]): void {
    const { seq } = this.#accounts.state
    if (this.#accounts.ledgers.size > 0) this.#recent.note(moves)
    else this.#recent.forget(seq)
    if (seq === this.#head) return
    this.#head = seq
    for (const listener of this.#listeners) listener()
  }

  /** A purge has made it absent. */
  #isCovered({ slot, version }: Pick<FeedPlace, 'slot' | 'version'>): boolean {
    const { floor } = this.#accounts.bucket(slot.bucket)
    return floor !== undefined && version <= floor
  }

  /** The live entry whose place this is, and the bytes that it was read from. */
  #findLive(place: FeedPlace, slot: ObjectSlot): FoundEntry | undefined {
    const value = this.#index.get(objectKey(slot.bucket, slot.key))
    const entry = value === undefined ? undefined : decodeLiveEntry(value)
    if (value === undefined || entry?.seq !== place.seq) return undefined
    return this.#isCovered({ slot, version: entry.version }) ? undefined : { entry, value }
  }

  /** Undefined when it is not there any more. What was found is looked up again only if it has moved. */
  #open(
    place: FeedPlace,
    slot: ObjectSlot,
    found: FoundEntry & { readonly label?: Uint8Array },
  ): OpenObject | undefined {
    let known: FoundEntry | undefined = found
    const find = (): LiveEntry | undefined => {
      const { entry } = known ?? this.#findLive(place, slot) ?? {}
      known = undefined
      return entry
    }
    return openStored(slot, find, {
      ...{ reader: this.#reader, index: this.#index, label: found.label },
    })
  }

  #loadObject(place: FeedPlace, slot: ObjectSlot): OutgoingChange | undefined {
    const found = this.#findLive(place, slot)
    if (found === undefined) return this.#loadTombstone(place, slot)
    const object = this.#open(place, slot, found)
    if (object === undefined) return undefined
    const { version, context, meta, seq } = found.entry
    return { seq, mutation: { kind: 'put', slot, version, context, meta }, object }
  }

  /** The index has the very bytes that travel. */
  #loadEncodedObject(place: FeedPlace, slot: ObjectSlot): EncodedChange | undefined {
    const found = this.#findLive(place, slot)
    if (found === undefined) return encodedChange(this.#loadTombstone(place, slot))
    const { seq, version } = found.entry
    const label = encodeLabel(slot, version)
    const object = this.#open(place, slot, { ...found, label })
    if (object === undefined) return undefined
    const encoded = { kind: 'put', label, head: headIn(found.value) } as const
    return { seq, version, encoded, bytes: undefined, object }
  }

  #loadTombstone(place: FeedPlace, slot: ObjectSlot): OutgoingChange | undefined {
    const tombstone = this.#index.get(tombstoneKey(slot.bucket, slot.key))
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

export function encodedChange(change: OutgoingChange | undefined): EncodedChange | undefined {
  if (change === undefined) return undefined
  const { seq, mutation, object } = change
  const { version } = mutation
  return { seq, version, encoded: encodeMutation(mutation), bytes: undefined, object }
}
