/**
 * The ordered map on LevelDB (`classic-level`). Every batch is written with `sync: true`: without
 * it LevelDB may come back from a power loss with an earlier batch missing and a later one there,
 * and a checkpoint would claim what is not in the index.
 */
import { chmod, open, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { assert } from '../base/assert.ts'
import { messageOf, systemCodeOf } from '../base/errors.ts'
import { type Logger, silentLogger } from '../base/log.ts'
import { makeFolders } from '../base/make-folders.ts'
import {
  IndexClosedError,
  IndexCorruptError,
  IndexInUseError,
  IndexOpenError,
  IndexReadError,
  IndexWriteError,
} from './errors.ts'
import type {
  IndexCursor,
  IndexEntry,
  IndexOperation,
  IndexRange,
  OrderedIndex,
} from './ordered-index.ts'

type Level = ClassicLevel<Uint8Array, Uint8Array>
type LevelSnapshot = ReturnType<Level['snapshot']>

/** Larger than LevelDB's 4 MiB: fewer, larger tables at level 0 while a backlog is written. */
const writeBufferBytes = 16 * 2 ** 20
const tableBytesMax = 8 * 2 ** 20
/**
 * Memory that grows with the index until it is full, while the files themselves are mapped, and cached
 * by the system: neighbours are found in little, and random reads gain little more from four times as much.
 */
const cacheBytesDefault = 16 * 2 ** 20
/** Bounds what one `next` holds in memory; LevelDB's own 16 KiB would mean a thread hop per 150 entries. */
const cursorBytesMax = 256 * 2 ** 10

export interface LevelIndexOptions {
  /** A folder, made if absent. */
  readonly path: string
  readonly logger?: Logger
  /** Bound of LevelDB's block cache in bytes, 16 MiB unless told. */
  readonly cacheBytes?: number
}

export class LevelIndex implements OrderedIndex {
  readonly #level: Level
  readonly #logger: Logger
  #running: Promise<void> | undefined
  #failure: IndexWriteError | undefined
  #closing: Promise<void> | undefined

  private constructor(level: Level, logger: Logger) {
    this.#level = level
    this.#logger = logger
  }

  /**
   * @throws IndexInUseError when another process holds it, IndexCorruptError when its files
   *   contradict themselves, IndexOpenError when it cannot be opened for another reason
   */
  static async open(options: LevelIndexOptions): Promise<LevelIndex> {
    const logger = options.logger ?? silentLogger
    // Before LevelDB is told of it, which makes missing folders too: for everybody, and recursively.
    try {
      await makePrivateFolder(options.path)
    } catch (thrown) {
      throw openError(options.path, thrown)
    }
    const level: Level = new ClassicLevel(options.path, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      compression: true,
      cacheSize: options.cacheBytes ?? cacheBytesDefault,
      writeBufferSize: writeBufferBytes,
      maxFileSize: tableBytesMax,
    })
    try {
      await level.open()
      await syncFolder(dirname(options.path))
    } catch (thrown) {
      await level.close()
      throw openError(options.path, thrown)
    }
    logger.debug({ path: options.path }, 'index open')
    return new LevelIndex(level, logger)
  }

  get(key: Uint8Array): Buffer | undefined {
    try {
      // The database's own encodings: options of the call would be looked up anew for each.
      return this.#level.getSync(key) as Buffer | undefined
    } catch (thrown) {
      throw this.#readError(thrown)
    }
  }

  async write(operations: readonly IndexOperation[]): Promise<void> {
    assert(this.#running === undefined, 'index writes must not overlap')
    if (this.#closing !== undefined) throw new IndexClosedError()
    if (this.#failure !== undefined) throw this.#failure
    this.#running = this.#writeBatch(operations)
    try {
      await this.#running
    } finally {
      this.#running = undefined
    }
  }

  iterate(range: IndexRange): IndexCursor {
    if (this.#closing !== undefined) throw new IndexClosedError()
    return new LevelCursor(this.#level, range, (thrown) => this.#readError(thrown))
  }

  async size(): Promise<number> {
    let total = 0
    for (const name of await readdir(this.#level.location)) {
      total += await fileSize(join(this.#level.location, name))
    }
    return total
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // A failed write has been reported to its caller; closing only waits for it to be over.
    await this.#running?.catch(() => undefined)
    await this.#level.close()
    this.#logger.debug({ path: this.#level.location }, 'index closed')
  }

  async #writeBatch(operations: readonly IndexOperation[]): Promise<void> {
    try {
      // One by one: of an array the library clones each operation and looks up what is in it.
      const batch = this.#level.batch()
      for (const operation of operations) {
        if (operation.type === 'put') batch.put(operation.key, operation.value)
        else batch.del(operation.key)
      }
      await batch.write({ sync: true })
    } catch (cause) {
      this.#failure = new IndexWriteError(`writing to the index failed: ${messageOf(cause)}`, {
        facts: { path: this.#level.location, operations: operations.length },
        cause,
      })
      this.#logger.error({ path: this.#level.location, err: cause }, 'index write failed')
      throw this.#failure
    }
  }

  #readError(thrown: unknown): Error {
    return this.#closing === undefined ? new IndexReadError(thrown) : new IndexClosedError()
  }
}

class LevelCursor implements IndexCursor {
  readonly #level: Level
  readonly #range: IndexRange
  readonly #snapshot: LevelSnapshot
  readonly #readError: (thrown: unknown) => Error
  #iterator: LevelIterator
  #finished = false

  constructor(level: Level, range: IndexRange, readError: (thrown: unknown) => Error) {
    this.#level = level
    this.#range = range
    this.#readError = readError
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
    await this.#iterator.close()
    await this.#snapshot.close()
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

/** Zero for a file that LevelDB has removed since it was listed. */
async function fileSize(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return 0
    throw thrown
  }
}

/** LevelDB syncs its own folder, but not the entry that names that folder in its parent. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const folderMode = 0o700

/** LevelDB's files are as open as the umask lets them be: it is their folder that protects them. */
async function makePrivateFolder(path: string): Promise<void> {
  await makeFolders(path, folderMode)
  const { mode, uid } = await stat(path)
  const isOurs = uid === process.getuid?.()
  if (isOurs && (mode & 0o077) !== 0) await chmod(path, folderMode)
}
