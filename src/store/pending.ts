/**
 * What has been sequenced and is not indexed yet. The sequencer decides against it; readers never
 * see it. A failed write uncovers what was below it, unless that is settled by then.
 */
export interface PendingValue<T> {
  readonly value: T
  /** Resolves when durable and indexed, rejects when it failed. */
  readonly done: Promise<void>
}

interface Layer<T> extends PendingValue<T> {
  settled: boolean
  below: Layer<T> | undefined
}

export class PendingMap<T> {
  readonly #top = new Map<string, Layer<T>>()

  get size(): number {
    return this.#top.size
  }

  get(key: string): PendingValue<T> | undefined {
    return this.#top.get(key)
  }

  entries(): IterableIterator<[string, PendingValue<T>]> {
    return this.#top.entries()
  }

  /** Covers `key`; the returned function must be called when the write has succeeded or failed. */
  cover(key: string, value: T, done: Promise<void>): (succeeded: boolean) => void {
    const layer: Layer<T> = { value, done, settled: false, below: this.#top.get(key) }
    this.#top.set(key, layer)
    return (succeeded) => {
      layer.settled = true
      // What is below a success is settled too: a key that is never uncovered must not pile up layers.
      if (succeeded) layer.below = undefined
      if (this.#top.get(key) !== layer) return
      let next = layer.below
      while (next?.settled === true) next = next.below
      if (next === undefined) this.#top.delete(key)
      else this.#top.set(key, next)
    }
  }
}
