/** One segment of a {@link DirectoryDevice}: a file, opened once, read and written by position. */
import { constants } from 'node:fs'
import { assert } from '../base/assert.ts'
import type { DeviceSegment } from './device.ts'
import { ShortWriteError } from './errors.ts'
import { closeFile, openFile, readAt, readAtNow, setSize, syncData, writeAt } from './file-calls.ts'

export class DirectorySegment implements DeviceSegment {
  readonly #path: string
  readonly #fd: number
  /** The same file, opened so that a write has ended when it is durable: at the first such write. */
  #syncedFd: number | undefined
  #size: number
  /** Up to here the file has its space. */
  #written: number
  #closed = false

  constructor(options: {
    readonly path: string
    readonly fd: number
    readonly size: number
    readonly written: number
  }) {
    this.#path = options.path
    this.#fd = options.fd
    this.#size = options.size
    this.#written = options.written
  }

  get size(): number {
    return this.#size
  }

  /** Bytes that it may still take from the disk. */
  get unwritten(): number {
    return this.#closed ? 0 : Math.max(0, this.#size - this.#written)
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    return this.#write(this.#fd, buffers, position)
  }

  /** One call into the thread pool, and one turn of the event loop, where `write` and `sync` take two. */
  async writeSynced(buffers: readonly Uint8Array[], position: number): Promise<void> {
    assert(!this.#closed, 'a segment is written after it was closed')
    this.#syncedFd ??= await openFile(this.#path, constants.O_RDWR | constants.O_DSYNC)
    await this.#write(this.#syncedFd, buffers, position)
  }

  async #write(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
    let wanted = 0
    for (const buffer of buffers) wanted += buffer.length
    this.#check(position, wanted)
    if (wanted === 0) return
    const written = await writeAt(fd, buffers, position)
    if (written !== wanted) {
      // A disk that becomes full takes a part first: the attempt at the rest gets the system's word.
      await writeAt(fd, [Buffer.concat(buffers).subarray(written)], position + written)
      throw new ShortWriteError({ device: this.#path, position, wanted, written })
    }
    this.#written = Math.max(this.#written, position + wanted)
  }

  read(target: Uint8Array, position: number): Promise<number> {
    assert(!this.#closed, 'a segment is read after it was closed')
    return readAt(this.#fd, target, position)
  }

  readNow(target: Uint8Array, position: number): number {
    assert(!this.#closed, 'a segment is read after it was closed')
    return readAtNow(this.#fd, target, position)
  }

  sync(): Promise<void> {
    assert(!this.#closed, 'a segment is synced after it was closed')
    return syncData(this.#fd)
  }

  async trim(size: number): Promise<void> {
    this.#check(size, 0)
    if (size === this.#size) return
    await setSize(this.#fd, size)
    this.#size = size
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#syncedFd !== undefined) await closeFile(this.#syncedFd)
    await closeFile(this.#fd)
  }

  /** A segment never grows: its space was written ahead, and its end is where the volume put it. */
  #check(position: number, length: number): void {
    assert(!this.#closed, 'a segment is written after it was closed')
    assert(position >= 0 && position + length <= this.#size, 'a write beyond the segment')
  }
}
