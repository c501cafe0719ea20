/** One open LevelDB, and the cursors that read in it: it can be closed once they are through. */
import { ClassicLevel } from 'classic-level'
import { assert } from '../base/assert.ts'
import { type Clock, delay } from '../base/clock.ts'
import { systemCodeOf } from '../base/errors.ts'
import {
  IndexClosedError,
  IndexCorruptError,
  IndexInUseError,
  IndexOpenError,
  IndexReadError,
} from './errors.ts'
import type { IndexCursor, IndexEntry, IndexOperation, IndexRange } from './ordered-index.ts'

type Level = ClassicLevel<Uint8Array, Uint8Array>
type LevelSnapshot = ReturnType<Level['snapshot']>

/** Larger than LevelDB's 4 MiB: fewer, larger tables at level 0 while a backlog is written. */
const writeBufferBytes = 16 * 2 ** 20
const tableBytesMax = 8 * 2 ** 20
/** Bounds what one `next` holds in memory; LevelDB's own 16 KiB would mean a thread hop per 150 entries. */
const cursorBytesMax = 256 * 2 ** 10

export interface LevelHandleOptions {
  readonly path: string
  readonly cacheBytes: number
  /** Other threads of this process may open it too, and then it is one database for all of them. */
  readonly shared?: boolean | undefined
}

export class LevelHandle {
  readonly #level: Level
  readonly #cursors = new Set<LevelCursor>()
  /** Aborted when the last cursor has closed of a handle that is to be closed. */
  readonly #unread = new AbortController()
  #closing: Promise<void> | undefined
  #isReplaced = false

  private constructor(level: Level) {
    this.#level = level
  }

  /** @throws IndexInUseError, IndexCorruptError, IndexOpenError */
  static async open({
    path,
    cacheBytes,
    shared = false,
  }: LevelHandleOptions): Promise<LevelHandle> {
    const level: Level = new ClassicLevel(path, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      compression: true,
      cacheSize: cacheBytes,
      writeBufferSize: writeBufferBytes,
      maxFileSize: tableBytesMax,
      multithreading: shared,
    })
    try {
      await level.open()
    } catch (thrown) {
      await level.close()
      throw openError(path, thrown)
    }
    return new LevelHandle(level)
  }

  get(key: Uint8Array): Buffer | undefined {
    try {
      // The database's own encodings: options of the call would be looked up anew for each.
      return this.#level.getSync(key) as Buffer | undefined
    } catch (thrown) {
      throw this.#readError(thrown)
    }
  }

  async batch(operations: readonly IndexOperation[]): Promise<void> {
    // One by one: of an array the library clones each operation and looks up what is in it.
    const batch = this.#level.batch()
    for (const operation of operations) {
      if (operation.type === 'put') batch.put(operation.key, operation.value)
      else batch.del(operation.key)
    }
    await batch.write({ sync: true })
  }

  iterate(range: IndexRange): IndexCursor {
    const cursor = new LevelCursor(this.#level, {
      range,
      readError: (thrown) => this.#readError(thrown),
      onClosed: () => {
        this.#cursors.delete(cursor)
        if (this.#cursors.size === 0 && this.#closing !== undefined) this.#unread.abort()
      },
    })
    this.#cursors.add(cursor)
    return cursor
  }

  /** @param patience another one takes its place: so long is waited for open cursors, and then they fail */
  close(patience?: { readonly clock: Clock; readonly ms: number }): Promise<void> {
    this.#isReplaced = patience !== undefined
    this.#closing ??= this.#close(patience)
    return this.#closing
  }

  #readError(thrown: unknown): Error {
    const isOver = this.#closing !== undefined && !this.#isReplaced
    return isOver ? new IndexClosedError() : new IndexReadError(thrown)
  }

  async #close(
    patience: { readonly clock: Clock; readonly ms: number } | undefined,
  ): Promise<void> {
    if (patience !== undefined && this.#cursors.size > 0) {
      await delay(patience.clock, patience.ms, this.#unread.signal)
    }
    await this.#level.close()
  }
}

interface LevelCursorOptions {
  readonly range: IndexRange
  readonly readError: (thrown: unknown) => Error
  readonly onClosed: () => void
}

class LevelCursor implements IndexCursor {
  readonly #level: Level
  readonly #range: IndexRange
  readonly #snapshot: LevelSnapshot
  readonly #readError: (thrown: unknown) => Error
  readonly #onClosed: () => void
  #iterator: LevelIterator
  #finished = false

  constructor(level: Level, { range, readError, onClosed }: LevelCursorOptions) {
    this.#level = level
    this.#range = range
    this.#readError = readError
    this.#onClosed = onClosed
    this.#snapshot = level.snapshot()
    this.#iterator = openIterator(level, range, this.#snapshot)
  }

  async next(limit: number): Promise<readonly IndexEntry[]> {
    assert(limit >= 1, 'a cursor must be asked for at least one entry')
    if (this.#finished) return []
    try {
      return await this.#iterator.nextv(limit)
    } catch (thrown) {
      throw this.#readError(thrown)
    }
  }

  seek(key: Uint8Array): void {
    const { gte, lt, reverse = false } = this.#range
    const isBefore = Buffer.compare(key, gte) < 0
    const isBehind = Buffer.compare(key, lt) >= 0
    this.#finished = reverse ? isBefore : isBehind
    if (this.#finished) return
    if (isBefore || isBehind) this.#rewind()
    else this.#iterator.seek(asBuffer(key))
  }

  async close(): Promise<void> {
    try {
      await this.#iterator.close()
      await this.#snapshot.close()
    } finally {
      this.#onClosed()
    }
  }

  /** LevelDB ends an iterator that seeks out of its range, so a new one starts at the near end. */
  #rewind(): void {
    const old = this.#iterator
    this.#iterator = openIterator(this.#level, this.#range, this.#snapshot)
    // Closing an idle iterator is synchronous underneath and cannot fail.
    void old.close()
  }
}

type LevelIterator = ReturnType<typeof openIterator>

function openIterator(level: Level, range: IndexRange, snapshot: LevelSnapshot) {
  return level.iterator<Buffer, Buffer>({
    gte: asBuffer(range.gte),
    lt: asBuffer(range.lt),
    reverse: range.reverse ?? false,
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    highWaterMarkBytes: cursorBytesMax,
    snapshot,
  })
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function openError(path: string, thrown: unknown): Error {
  const cause = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : thrown
  switch (systemCodeOf(cause)) {
    case 'LEVEL_LOCKED':
      return new IndexInUseError(path, cause)
    case 'LEVEL_CORRUPTION':
      return new IndexCorruptError(path, cause)
    default:
      return new IndexOpenError(path, cause)
  }
}
