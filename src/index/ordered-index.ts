/**
 * A generic ordered map of bytes to bytes with atomic batches: LevelDB in production, memory in the
 * simulation. It promises that a written batch is there after a crash, whole or (if the write had
 * not resolved) not at all. It must never know what keys and values mean.
 */

export type IndexOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

export type IndexEntry = readonly [key: Buffer, value: Buffer]

export interface IndexRange {
  /** First key, inclusive. */
  readonly gte: Uint8Array
  /** End, exclusive. */
  readonly lt: Uint8Array
  readonly reverse?: boolean
}

export interface OrderedIndex {
  /**
   * The value under `key`, read synchronously: microseconds, from cache in the usual case. A write
   * may show a moment before it resolves.
   */
  get(key: Uint8Array): Buffer | undefined
  /**
   * Applies all of `operations` in order, atomically and synced. Calls must not overlap, and the
   * operations and their bytes must not change until it resolves.
   * @throws IndexWriteError: nothing is known about what reached the disk. The next call must be with
   *   the very same operations, which may succeed; reads go on meanwhile
   */
  write(operations: readonly IndexOperation[]): Promise<void>
  /** Its disk has hardly any room left: it should be written for what gives room back, and nothing else. */
  readonly isShort: boolean
  /**
   * A cursor over a snapshot taken now, in which a write that is still running is there wholly or
   * not at all. Must be closed.
   */
  iterate(range: IndexRange): IndexCursor
  /** Approximate bytes on disk. */
  size(): Promise<number>
  /** Waits for a running write, then closes, open cursors included. Closing twice is fine. */
  close(): Promise<void>
}

export interface IndexCursor {
  /**
   * Up to `limit` further entries in order, fewer where they are large; empty only at the end.
   * Calls must not overlap.
   * @throws IndexReadError when entries could not be read: at once, or at the end of the range
   */
  next(limit: number): Promise<readonly IndexEntry[]>
  /**
   * Continues at the first key of the range at or after `key` (at or before it in reverse), be
   * that ahead or behind.
   */
  seek(key: Uint8Array): void
  close(): Promise<void>
}
