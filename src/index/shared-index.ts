/**
 * What another thread of the process that has an index open reads in it: the same database, so that what a
 * write has been answered for is found. It only reads.
 */
import { LevelHandle } from './level-handle.ts'

/** The database has one cache, that of whoever opened it first. */
const cacheBytes = 2 ** 20

export class SharedIndex {
  readonly #handle: LevelHandle

  private constructor(handle: LevelHandle) {
    this.#handle = handle
  }

  /** Only while the thread that writes has it open as shared. @throws IndexOpenError */
  static async open(path: string): Promise<SharedIndex> {
    return new SharedIndex(await LevelHandle.open({ path, cacheBytes, shared: true }))
  }

  /** @throws IndexReadError */
  get(key: Uint8Array): Buffer | undefined {
    return this.#handle.get(key)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}
