/** Operations of one atomic index batch, readable while it is being built. */
import type { IndexOperation, OrderedIndex } from '../index/ordered-index.ts'

export class IndexBatch {
  readonly operations: IndexOperation[] = []
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
