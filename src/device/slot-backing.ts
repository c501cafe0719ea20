/**
 * What a {@link SlotDevice} lies on: one run of bytes, a file or a block device. A write is durable
 * when it has resolved, and so synced alone: the sync of a small group never has to wait for what
 * else is on its way to the same file (measured beside 1 MiB writes: p99 12 ms with `fdatasync`, 4 to
 * 8 ms so).
 *
 * This is the seam that the tests of power loss replace.
 */
import { constants } from 'node:fs'
import { ShortWriteError } from './errors.ts'
import { closeFile, openFile, readAt, readAtNow, setSize, syncAll, writeAt } from './file-calls.ts'

export interface SlotBacking {
  /** For messages. */
  readonly name: string
  /** How long it is. */
  readonly size: number
  /**
   * A handle of its own for each segment: the system tells each of them, once, of a write that failed
   * behind its back.
   */
  open(): Promise<BackingHandle>
  close(): Promise<void>
}

export interface BackingHandle {
  /** Fills `target` from `position`; resolves to the bytes read, fewer only at the end. */
  read(target: Uint8Array, position: number): Promise<number>
  /** As `read`, in the calling thread; absent where that cannot be done. */
  readNow?(target: Uint8Array, position: number): number
  /** Writes all of `buffers` one after the other; durable when resolved. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  close(): Promise<void>
}

export class SystemBacking implements SlotBacking {
  readonly name: string
  #size: number
  /** Held open for as long as the device is: on a block device it may keep others out. */
  readonly #fd: number
  readonly #readOnly: boolean
  readonly #onClosed: () => Promise<void>

  /** Takes over `fd`; `onClosed` gives back what else was taken for it. */
  constructor(options: {
    readonly name: string
    readonly size: number
    readonly fd: number
    /** Only looked at, wherever it lies: also on a file system that is mounted read-only. */
    readonly readOnly?: boolean
    readonly onClosed: () => Promise<void>
  }) {
    this.name = options.name
    this.#size = options.size
    this.#fd = options.fd
    this.#readOnly = options.readOnly ?? false
    this.#onClosed = options.onClosed
  }

  get size(): number {
    return this.#size
  }

  /** Cuts a file off, which is to be written anew until it has `size` bytes. */
  async empty(size: number): Promise<void> {
    await setSize(this.#fd, 0)
    this.#size = size
  }

  /**
   * What a killed process has written and not synced is seen, so it is made durable before anything is
   * built upon it.
   */
  sync(): Promise<void> {
    return syncAll(this.#fd)
  }

  async open(): Promise<BackingHandle> {
    const { O_RDONLY, O_RDWR, O_DSYNC } = constants
    const flags = this.#readOnly ? O_RDONLY : O_RDWR | O_DSYNC
    return new SystemHandle(this.name, await openFile(this.name, flags))
  }

  async close(): Promise<void> {
    await closeFile(this.#fd)
    await this.#onClosed()
  }
}

class SystemHandle implements BackingHandle {
  readonly #path: string
  readonly #fd: number

  constructor(path: string, fd: number) {
    this.#path = path
    this.#fd = fd
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return readAt(this.#fd, target, position)
  }

  readNow(target: Uint8Array, position: number): number {
    return readAtNow(this.#fd, target, position)
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const wanted = lengthOf(buffers)
    const written = await writeAt(this.#fd, buffers, position)
    if (written === wanted) return
    // As on a folder: the attempt at the rest gets the system's word.
    await writeAt(this.#fd, [Buffer.concat(buffers).subarray(written)], position + written)
    throw new ShortWriteError({ device: this.#path, position, wanted, written })
  }

  close(): Promise<void> {
    return closeFile(this.#fd)
  }
}

export function lengthOf(buffers: readonly Uint8Array[]): number {
  let length = 0
  for (const buffer of buffers) length += buffer.length
  return length
}
