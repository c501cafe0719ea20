/** Operations of one atomic index batch, readable while it is being built. */
import type { IndexOperation, OrderedIndex } from '../../index/ordered-index.ts'
import type { EncodedMutation } from '../model/mutation.ts'
import type { FeedPlace } from '../model/object-store.ts'
import { encodeChangeEntry } from './change-entry.ts'
import { changeKey } from './keys.ts'

/** What a place says, in the bytes that went into the log. */
export interface WrittenChange {
  readonly encoded: EncodedMutation
  /** A put's body. */
  readonly bytes: Uint8Array | undefined
}

export type FeedMove =
  | { readonly place: FeedPlace; readonly written: WrittenChange | undefined }
  | { readonly gone: number }

export class IndexBatch {
  readonly operations: IndexOperation[] = []
  /** What the batch does to the change feed, in order. */
  readonly feedMoves: FeedMove[] = []
  /** The batch raises the floor of a bucket. */
  raisesFloor = false
  readonly #index: OrderedIndex
  /** Values of this batch by key; only for the tables that a later effect of the batch reads again. */
  readonly #overlay = new Map<string, Buffer | undefined>()

  constructor(index: OrderedIndex) {
    this.#index = index
  }

  put(key: Buffer, value: Buffer): void {
    this.operations.push({ type: 'put', key, value })
  }

  del(key: Buffer): void {
    this.operations.push({ type: 'del', key })
  }

  /** As {@link put}, for a value that {@link read} must see before the batch is written. */
  putReadable(key: Buffer, value: Buffer): void {
    this.put(key, value)
    this.#overlay.set(key.toString('latin1'), value)
  }

  delReadable(key: Buffer): void {
    this.del(key)
    this.#overlay.set(key.toString('latin1'), undefined)
  }

  /** A place comes into the feed. */
  addPlace(place: FeedPlace, written?: WrittenChange): void {
    this.putReadable(changeKey(place.seq), encodeChangeEntry(place, written?.encoded.label))
    this.feedMoves.push({ place, written })
  }

  /** A place leaves the feed. */
  removePlace(seq: number): void {
    this.delReadable(changeKey(seq))
    this.feedMoves.push({ gone: seq })
  }

  /** Lets {@link read} see a value without writing it again. */
  overlay(key: Buffer, value: Buffer | undefined): void {
    this.#overlay.set(key.toString('latin1'), value)
  }

  /** The value as it will be once the batch is written. */
  read(key: Buffer): Buffer | undefined {
    const text = key.toString('latin1')
    return this.#overlay.has(text) ? this.#overlay.get(text) : this.#index.get(key)
  }
}
