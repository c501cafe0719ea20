/**
 * What has been sequenced and is not indexed yet. The sequencer decides against it; readers never
 * see it. A failed write uncovers what was below it, unless that is settled by then.
 */
import { assert } from '../../base/assert.ts'

export interface PendingValue<T> {
  readonly value: T
  /** Resolves when durable and indexed, rejects when it failed. */
  readonly done: Promise<void>
}

/**
 * Only what is not settled is held. A `Map` that is written all the time moves to a new table every few
 * hundred keys, and V8 keeps the old one, with all that was in it, until the whole heap is collected: a
 * layer that held on to its write would keep the change, and the batch of bytes that it came in.
 */
interface Layer<T> {
  /** Undefined once it is settled. */
  pending: PendingValue<T> | undefined
  below: Layer<T> | undefined
}

export class PendingMap<T> {
  readonly #top = new Map<string, Layer<T>>()

  get size(): number {
    return this.#top.size
  }

  get(key: string): PendingValue<T> | undefined {
    return this.#top.get(key)?.pending
  }

  *entries(): Generator<[string, PendingValue<T>]> {
    for (const [key, { pending }] of this.#top) {
      assert(pending !== undefined, 'what is settled is covered, or gone')
      yield [key, pending]
    }
  }

  /** Covers `key`; the returned function must be called when the write has succeeded or failed. */
  cover(key: string, value: T, done: Promise<void>): (succeeded: boolean) => void {
    const layer: Layer<T> = { pending: { value, done }, below: this.#top.get(key) }
    this.#top.set(key, layer)
    return (succeeded) => {
      layer.pending = undefined
      // What is below a success is settled too: a key that is never uncovered must not pile up layers.
      if (succeeded) layer.below = undefined
      if (this.#top.get(key) !== layer) return
      let next = layer.below
      while (next !== undefined && next.pending === undefined) next = next.below
      if (next === undefined) this.#top.delete(key)
      else this.#top.set(key, next)
    }
  }
}
