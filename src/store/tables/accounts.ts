/**
 * The store's running totals: buckets, live records per segment, ledgers, the feed's size. They are
 * changed only while an index batch is built and written in that same batch, so that after a crash
 * they agree with the entries they count, exactly.
 */
import { assert } from '../../base/assert.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location, LogPosition, SegmentInfo } from '../../volume/volume.ts'
import { joinContext, type Version } from '../model/version.ts'
import {
  type BucketEntry,
  decodeBucketEntry,
  emptyBucket,
  encodeBucketEntry,
} from './bucket-entry.ts'
import { decodeChangeSince } from './change-entry.ts'
import type { IndexBatch } from './index-batch.ts'
import {
  bucketKey,
  bucketsRange,
  changeKey,
  ledgerKey,
  ledgersRange,
  nameOf,
  remotesRange,
  segmentKey,
  segmentsRange,
  stateKey,
} from './keys.ts'
import { decodeLedger, encodeLedger, LedgerState, type PlaceFacts } from './ledger-state.ts'
import { readAll } from './read-all.ts'
import { decodeRemoteEntry, type RemoteEntry } from './remote-entry.ts'
import {
  decodeSegmentCount,
  decodeStoreState,
  encodeSegmentCount,
  encodeStoreState,
  type SegmentCount,
  type StoreState,
} from './small-entries.ts'

const bucketsCachedMax = 4096

const emptyState: StoreState = {
  checkpoint: undefined,
  seq: 0,
  version: undefined,
  places: 0,
  placeBytes: 0,
}

export class Accounts {
  readonly #index: OrderedIndex
  readonly #buckets = new Map<string, BucketEntry>()
  readonly #sweeping = new Set<string>()
  readonly #segments = new Map<number, SegmentCount>()
  readonly #ledgers = new Map<string, LedgerState>()
  readonly #remotes = new Map<string, RemoteEntry>()
  readonly #dirtyBuckets = new Set<string>()
  readonly #dirtySegments = new Set<number>()
  readonly #dirtyLedgers = new Set<string>()
  #state: StoreState
  #emptiedCount = 0
  #movedTo = 0
  /** Of the segments that were there at opening; later ones have higher generations. */
  readonly #generations = new Set<number>()
  #newestGeneration = 0

  private constructor(index: OrderedIndex, state: StoreState) {
    this.#index = index
    this.#state = state
  }

  /** @param segments those of the volume as it was opened */
  static async load(index: OrderedIndex, segments: readonly SegmentInfo[]): Promise<Accounts> {
    const state = index.get(stateKey)
    const accounts = new Accounts(index, state ? decodeStoreState(state) : emptyState)
    for (const { generation } of segments) accounts.#opened(generation)
    for (const [key, value] of await readAll(index, segmentsRange)) {
      accounts.#segments.set(key.readUInt32BE(1), decodeSegmentCount(value))
    }
    const sinceOf = (seq: number): number => {
      const place = index.get(changeKey(seq))
      return place === undefined ? 0 : decodeChangeSince(place)
    }
    for (const [key, value] of await readAll(index, ledgersRange)) {
      accounts.#ledgers.set(nameOf(key), decodeLedger(value, sinceOf))
    }
    for (const [key, value] of await readAll(index, remotesRange)) {
      const name = nameOf(key)
      accounts.setRemote(decodeRemoteEntry(name, value))
    }
    return accounts
  }

  /** How many times the last live record of a segment has died. */
  get emptiedCount(): number {
    return this.#emptiedCount
  }

  /** The last place that was given to what had been made, or had come, before: of this run. */
  get movedTo(): number {
    return this.#movedTo
  }

  placeMoved(seq: number): void {
    this.#movedTo = Math.max(this.#movedTo, seq)
  }

  get state(): StoreState {
    return this.#state
  }

  get ledgers(): ReadonlyMap<string, LedgerState> {
    return this.#ledgers
  }

  ledger(remote: string): LedgerState | undefined {
    return this.#ledgers.get(remote)
  }

  get remotes(): ReadonlyMap<string, RemoteEntry> {
    return this.#remotes
  }

  remote(name: string): RemoteEntry | undefined {
    return this.#remotes.get(name)
  }

  /** A remote that is linked has a ledger, one that was removed has none. */
  setRemote(entry: RemoteEntry): void {
    const { name, state, epoch, begunAt, filter } = entry.record
    this.#remotes.set(name, entry)
    const known = this.#ledgers.get(name)
    if (state !== 'removed' && known?.link.epoch === epoch) {
      if (known.relink({ epoch, begunAt, filter }, this.#state.seq)) this.ledgerChanged(name)
      return
    }
    if (this.#ledgers.delete(name) || state !== 'removed') this.ledgerChanged(name)
    if (state === 'removed') return
    this.#ledgers.set(name, LedgerState.begin({ epoch, begunAt, filter }, this.#state.seq))
  }

  ledgerChanged(remote: string): void {
    this.#dirtyLedgers.add(remote)
  }

  bucket(name: string): BucketEntry {
    const cached = this.#buckets.get(name)
    if (cached !== undefined) return cached
    const stored = this.#index.get(bucketKey(name))
    if (stored === undefined) return emptyBucket
    const entry = decodeBucketEntry(stored)
    this.#cacheBucket(name, entry)
    return entry
  }

  /** Whether a purge has not been swept to its end. */
  get isSweeping(): boolean {
    return this.#sweeping.size > 0
  }

  updateBucket(name: string, change: Partial<BucketEntry>): void {
    this.#cacheBucket(name, { ...this.bucket(name), ...change })
    this.#dirtyBuckets.add(name)
  }

  /** Every bucket the index knows, those that do not exist any more included. */
  async allBuckets(): Promise<ReadonlyMap<string, BucketEntry>> {
    const buckets = new Map<string, BucketEntry>()
    for (const [key, value] of await readAll(this.#index, bucketsRange)) {
      const name = nameOf(key)
      buckets.set(name, this.#buckets.get(name) ?? decodeBucketEntry(value))
    }
    return buckets
  }

  /** Objects and bytes of all of them. */
  async totals(): Promise<{ readonly count: number; readonly bytes: number }> {
    let count = 0
    let bytes = 0
    for (const entry of (await this.allBuckets()).values()) {
      count += entry.objectCount
      bytes += entry.objectBytes
    }
    return { count, bytes }
  }

  countObject(bucket: string, delta: { readonly objects: number; readonly bytes: number }): void {
    const { objectCount, objectBytes } = this.bucket(bucket)
    const count = objectCount + delta.objects
    const bytes = objectBytes + delta.bytes
    assert(count >= 0 && bytes >= 0, `bucket ${bucket} never holds less than nothing`)
    this.updateBucket(bucket, { objectCount: count, objectBytes: bytes })
  }

  sawVersion(bucket: string, version: Version): void {
    const { seen } = this.bucket(bucket)
    const joined = joinContext(seen, [version])
    if (joined !== seen) this.updateBucket(bucket, { seen: joined })
    if (
      this.#state.version === undefined ||
      version.slice(0, 16) > this.#state.version.slice(0, 16)
    ) {
      this.#state = { ...this.#state, version }
    }
  }

  recordLives(location: Location): void {
    if (this.#isFreed(location)) return
    const count = this.#segmentCount(location)
    this.#setSegment(location.segment, {
      generation: location.generation,
      records: count.records + 1,
      bytes: count.bytes + location.headLength + location.bodyLength,
    })
  }

  recordDies(location: Location): void {
    if (this.#isFreed(location)) return
    const count = this.#segmentCount(location)
    const bytes = count.bytes - location.headLength - location.bodyLength
    assert(count.records > 0 && bytes >= 0, 'a record dies once')
    this.#setSegment(location.segment, {
      generation: location.generation,
      records: count.records - 1,
      bytes,
    })
  }

  /** Live records of a segment; none when it was never counted. */
  liveIn(segment: number, generation: number): SegmentCount {
    const count = this.#segments.get(segment)
    return count?.generation === generation ? count : { generation, records: 0, bytes: 0 }
  }

  placeAdded(place: PlaceFacts): void {
    const { seq, bytes } = place
    const { places, placeBytes } = this.#state
    this.#state = {
      ...this.#state,
      seq: Math.max(seq, this.#state.seq),
      places: places + 1,
      placeBytes: placeBytes + bytes,
    }
    for (const [remote, ledger] of this.#ledgers) {
      if (ledger.placeAdded(place)) this.#dirtyLedgers.add(remote)
    }
  }

  /** So much may have been given by what is lost: it is not given again. */
  raiseSeq(seq: number): void {
    this.#state = { ...this.#state, seq: Math.max(seq, this.#state.seq) }
  }

  placeRemoved(place: PlaceFacts): void {
    const { places, placeBytes } = this.#state
    this.#state = { ...this.#state, places: places - 1, placeBytes: placeBytes - place.bytes }
    for (const [remote, ledger] of this.#ledgers) {
      ledger.placeRemoved(place)
      this.#dirtyLedgers.add(remote)
    }
  }

  checkpointAt(checkpoint: LogPosition): void {
    this.#state = { ...this.#state, checkpoint }
  }

  /** Adds everything that changed to the batch. */
  flush(batch: IndexBatch): void {
    this.#trimBuckets()
    for (const name of this.#dirtyBuckets) {
      batch.put(bucketKey(name), encodeBucketEntry(this.bucket(name)))
    }
    for (const segment of this.#dirtySegments) {
      const count = this.#segments.get(segment)
      if (count === undefined) batch.del(segmentKey(segment))
      else batch.put(segmentKey(segment), encodeSegmentCount(count))
    }
    for (const remote of this.#dirtyLedgers) {
      const ledger = this.#ledgers.get(remote)
      if (ledger === undefined) batch.del(ledgerKey(remote))
      else batch.put(ledgerKey(remote), encodeLedger(ledger))
    }
    batch.put(stateKey, encodeStoreState(this.#state))
    for (const ledger of this.#ledgers.values()) ledger.batchBuilt()
    this.#dirtyBuckets.clear()
    this.#dirtySegments.clear()
    this.#dirtyLedgers.clear()
  }

  /** False once the segment has been freed. */
  isThere(location: Location): boolean {
    return !this.#isFreed(location)
  }

  /**
   * A rebuild replays puts whose replacement lay in a log segment that is freed. Their bytes were in
   * segments that were freed before, and nothing is counted of those.
   */
  #isFreed({ generation }: Location): boolean {
    return generation <= this.#newestGeneration && !this.#generations.has(generation)
  }

  #opened(generation: number): void {
    this.#generations.add(generation)
    this.#newestGeneration = Math.max(this.#newestGeneration, generation)
  }

  #segmentCount(location: Location): SegmentCount {
    return this.liveIn(location.segment, location.generation)
  }

  #setSegment(segment: number, count: SegmentCount): void {
    if (count.records === 0) {
      this.#segments.delete(segment)
      this.#emptiedCount++
    } else this.#segments.set(segment, count)
    this.#dirtySegments.add(segment)
  }

  #cacheBucket(name: string, entry: BucketEntry): void {
    this.#buckets.set(name, entry)
    if (entry.sweeping) this.#sweeping.add(name)
    else this.#sweeping.delete(name)
  }

  /**
   * Before anything of this batch is written, when all earlier batches are durable: what is dropped
   * and not part of this batch is in the index as it was here.
   */
  #trimBuckets(): void {
    for (const name of this.#buckets.keys()) {
      if (this.#buckets.size <= bucketsCachedMax) return
      if (!this.#dirtyBuckets.has(name)) this.#buckets.delete(name)
    }
  }
}
