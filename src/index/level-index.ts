/**
 * The ordered map on LevelDB (`classic-level`). Every batch is written with `sync: true`: without
 * it LevelDB may come back from a power loss with an earlier batch missing and a later one there,
 * and a checkpoint would claim what is not in the index.
 *
 * LevelDB takes no writes any more once one has failed, or may write behind what is torn. So it is opened
 * anew before the failed batch is written again. Meanwhile reads go to a view: the same files under
 * second names, in a folder below.
 */
import { chmod, open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { assert, rethrowAssertion } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { messageOf, systemCodeOf } from '../base/errors.ts'
import { type Logger, silentLogger } from '../base/log.ts'
import { makeFolders } from '../base/make-folders.ts'
import type { Random } from '../base/random.ts'
import { IndexClosedError, IndexOpenError, IndexWriteError } from './errors.ts'
import { type LinkFile, linkIndexFiles, logBytesOf } from './index-copy.ts'
import { dropReserve, IndexReserve, openingBytes, probeFile } from './index-reserve.ts'
import { LevelHandle } from './level-handle.ts'
import type { IndexCursor, IndexOperation, IndexRange, OrderedIndex } from './ordered-index.ts'

/**
 * Memory that grows with the index until it is full, while the files themselves are mapped, and cached
 * by the system: neighbours are found in little, and random reads gain little more from four times as much.
 */
const cacheBytesDefault = 16 * 2 ** 20
/** Of a view, which lives for a moment. */
const viewCacheBytes = 2 ** 20
/** Below the index: what is read while it is opened anew. */
const viewFolder = 'view'
/** How long cursors are waited for before what they read in is closed. */
const cursorsMs = 10_000

export interface LevelIndexOptions {
  /** A folder, made if absent. */
  readonly path: string
  readonly logger?: Logger
  /** Bound of LevelDB's block cache in bytes, 16 MiB unless told. */
  readonly cacheBytes?: number
  /** Other threads of this process, which read it too. */
  readonly readers?: IndexReaders | undefined
  /**
   * For one that is written for long: keeps a reserve on its disk, and can write again after a write has
   * failed. Without it a failed write is the last one.
   */
  readonly lasting?: {
    readonly clock: Clock
    readonly random: Random
    /** The system's unless told. */
    readonly linkFile?: LinkFile
  }
}

/**
 * Other threads that have a shared index open. It cannot be opened anew while they have: LevelDB is one for
 * all of them.
 */
export interface IndexReaders {
  /** Resolves when none of them has it open any more. */
  leave(): Promise<void>
  /** They may open it again. */
  enter(): void
}

interface Lasting {
  readonly clock: Clock
  readonly reserve: IndexReserve
}

interface Failed {
  readonly operations: readonly IndexOperation[]
  readonly error: IndexWriteError
}

export class LevelIndex implements OrderedIndex {
  readonly #options: LevelIndexOptions
  readonly #logger: Logger
  readonly #lasting: Lasting | undefined
  #main: LevelHandle
  /** What is read while `#main` is being opened anew; has all but the failed batch. */
  #view: LevelHandle | undefined
  /** The view before, which somebody may still be reading in. */
  #retiring: Promise<void> | undefined
  #running: Promise<void> | undefined
  #failed: Failed | undefined
  #closing: Promise<void> | undefined

  private constructor(
    options: LevelIndexOptions,
    { main, lasting }: { readonly main: LevelHandle; readonly lasting: Lasting | undefined },
  ) {
    this.#options = options
    this.#logger = options.logger ?? silentLogger
    this.#lasting = lasting
    this.#main = main
  }

  /**
   * @throws IndexInUseError when another process holds it, IndexCorruptError when its files
   *   contradict themselves, IndexOpenError when it cannot be opened for another reason
   */
  static async open(options: LevelIndexOptions): Promise<LevelIndex> {
    const { path, logger = silentLogger } = options
    // Before LevelDB is told of it, which makes missing folders too: for everybody, and recursively.
    try {
      await makePrivateFolder(path)
    } catch (thrown) {
      throw new IndexOpenError(path, thrown)
    }
    const main = await openMain(options).catch(async (thrown: unknown) => {
      // Opening writes what is in its log anew: that is what the reserve of an earlier process is for.
      const isKept =
        options.lasting !== undefined && thrown instanceof IndexOpenError && thrown.isForRoom
      if (!isKept || !(await dropReserve(path))) throw thrown
      logger.warn({ path, error: thrown }, 'The reserve of the index is used, so that it opens')
      return await openMain(options)
    })
    try {
      await syncFolder(dirname(path))
      const lasting = await openLasting(options)
      logger.debug({ path }, 'index open')
      return new LevelIndex(options, { main, lasting })
    } catch (thrown) {
      await main.close()
      rethrowAssertion(thrown)
      throw new IndexOpenError(path, thrown)
    }
  }

  get isShort(): boolean {
    return this.#lasting?.reserve.isSpent ?? false
  }

  get(key: Uint8Array): Buffer | undefined {
    return this.#reader.get(key)
  }

  async write(operations: readonly IndexOperation[]): Promise<void> {
    assert(this.#running === undefined, 'index writes must not overlap')
    const failed = this.#failed
    assert(
      failed === undefined || failed.operations === operations,
      'a batch that failed is written again before any other',
    )
    if (this.#closing !== undefined) throw new IndexClosedError()
    this.#running = failed === undefined ? this.#write(operations) : this.#writeAgain(failed)
    try {
      await this.#running
    } finally {
      this.#running = undefined
    }
  }

  iterate(range: IndexRange): IndexCursor {
    if (this.#closing !== undefined) throw new IndexClosedError()
    return this.#reader.iterate(range)
  }

  async size(): Promise<number> {
    let total = 0
    for (const name of await readdir(this.#options.path)) {
      if (name !== viewFolder) total += await fileSize(join(this.#options.path, name))
    }
    return total
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  get #reader(): LevelHandle {
    return this.#view ?? this.#main
  }

  async #close(): Promise<void> {
    // A failed write has been reported to its caller; closing only waits for it to be over.
    await this.#running?.catch(() => undefined)
    await this.#lasting?.reserve.close()
    await this.#main.close()
    if (this.#view !== undefined) await this.#removeView(this.#view)
    await this.#retiring
    this.#logger.debug({ path: this.#options.path }, 'index closed')
  }

  async #write(operations: readonly IndexOperation[]): Promise<void> {
    try {
      await this.#main.batch(operations)
      this.#lasting?.reserve.wrote(bytesOf(operations))
    } catch (cause) {
      const { path } = this.#options
      this.#logger.error({ path, err: cause }, 'index write failed')
      const failed = { operations, error: this.#writeError(cause) }
      this.#failed = failed
      // At once, since the reserve may be all that it needs.
      await this.#writeAgain(failed)
    }
  }

  async #writeAgain({ operations, error }: Failed): Promise<void> {
    if (this.#lasting === undefined) throw error
    try {
      await this.#reopen(this.#lasting, bytesOf(operations))
      await this.#main.batch(operations)
    } catch (cause) {
      rethrowAssertion(cause)
      throw this.#writeError(cause)
    }
    this.#failed = undefined
    this.#logger.info({ path: this.#options.path }, 'index written again')
  }

  /** @param bytes of what is to be written then */
  async #reopen({ clock, reserve }: Lasting, bytes: number): Promise<void> {
    const { path, readers } = this.#options
    await reserve.release()
    await this.#retiring
    // Both read the log of LevelDB back into tables.
    await reserve.proveRoom(2 * (await logBytesOf(path)) + bytes + openingBytes)
    this.#view ??= await openView(path, this.#options.lasting?.linkFile)
    const patience = { clock, ms: cursorsMs }
    await readers?.leave()
    await this.#main.close(patience)
    this.#main = await openMain(this.#options)
    readers?.enter()
    const view = this.#view
    this.#view = undefined
    this.#retiring = this.#removeView(view, patience).catch((thrown: unknown) => {
      rethrowAssertion(thrown)
      this.#logger.warn({ path, error: messageOf(thrown) }, 'A view of the index was not removed')
    })
  }

  async #removeView(
    view: LevelHandle,
    patience?: { readonly clock: Clock; readonly ms: number },
  ): Promise<void> {
    await view.close(patience)
    await rm(join(this.#options.path, viewFolder), { recursive: true, force: true })
  }

  #writeError(cause: unknown): IndexWriteError {
    const { path } = this.#options
    return new IndexWriteError(`writing to the index failed: ${messageOf(cause)}`, {
      facts: { path },
      cause,
    })
  }
}

/** @throws IndexInUseError, IndexCorruptError, IndexOpenError */
async function openMain({ path, cacheBytes = cacheBytesDefault, readers }: LevelIndexOptions) {
  return await LevelHandle.open({ path, cacheBytes, shared: readers !== undefined })
}

/** Takes away what an earlier process may have left. */
async function openLasting({
  path,
  lasting,
  logger = silentLogger,
}: LevelIndexOptions): Promise<Lasting | undefined> {
  if (lasting === undefined) return undefined
  await rm(join(path, viewFolder), { recursive: true, force: true })
  await rm(join(path, probeFile), { force: true })
  return { clock: lasting.clock, reserve: await IndexReserve.open(path, { ...lasting, logger }) }
}

async function openView(index: string, linkFile?: LinkFile): Promise<LevelHandle> {
  const path = join(index, viewFolder)
  await rm(path, { recursive: true, force: true })
  await linkIndexFiles(index, path, { ...(linkFile && { linkFile }) })
  try {
    return await LevelHandle.open({ path, cacheBytes: viewCacheBytes })
  } catch (thrown) {
    // Copies take room that the next attempt needs.
    await rm(path, { recursive: true, force: true })
    throw thrown
  }
}

function bytesOf(operations: readonly IndexOperation[]): number {
  let bytes = 0
  for (const operation of operations) {
    bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0)
  }
  return bytes
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
