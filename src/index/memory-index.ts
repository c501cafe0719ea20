/**
 * The ordered map in memory, for the simulator. What it keeps lives in a {@link MemoryIndexDisk}
 * that outlives a simulated crash: completed writes are there afterwards, the one that was running
 * either wholly or not at all.
 */
import { assert } from '../base/assert.ts'
import { messageOf } from '../base/errors.ts'
import { IndexClosedError, IndexInUseError, IndexWriteError } from './errors.ts'
import type {
  IndexCursor,
  IndexEntry,
  IndexOperation,
  IndexRange,
  OrderedIndex,
} from './ordered-index.ts'
import { SortedMap } from './sorted-map.ts'

export interface MemoryIndexDiskOptions {
  /** Whether a write that was cut off by a crash, or that failed, is there afterwards. Not unless told. */
  readonly survives?: (operations: readonly IndexOperation[]) => boolean
}

/** The "disk" under a {@link MemoryIndex}: hand the same one to `open` after a crash. */
export class MemoryIndexDisk {
  readonly #survives: (operations: readonly IndexOperation[]) => boolean
  #durable = SortedMap.empty
  #unsettled: readonly IndexOperation[] | undefined
  #holder: object | undefined

  constructor(options: MemoryIndexDiskOptions = {}) {
    this.#survives = options.survives ?? (() => false)
  }

  get durable(): SortedMap {
    return this.#durable
  }

  /**
   * The process that has the index open is gone: whatever it does with it from now on changes
   * nothing, and its running write and reads never settle.
   */
  crash(): void {
    this.#holder = undefined
    this.#decideUnsettled()
  }

  isHeldBy(holder: object): boolean {
    return this.#holder === holder
  }

  acquire(holder: object): void {
    if (this.#holder !== undefined) throw new IndexInUseError('memory')
    this.#holder = holder
  }

  release(holder: object): void {
    if (this.#holder !== holder) return
    this.#holder = undefined
    this.#decideUnsettled()
  }

  /** One that failed may be begun again; it may have come through the first time. */
  begin(operations: readonly IndexOperation[]): void {
    const isAgain = this.#unsettled === operations
    assert(this.#unsettled === undefined || isAgain, 'index writes must not overlap')
    if (isAgain) this.#decideUnsettled()
    this.#unsettled = operations
  }

  commit(): void {
    assert(this.#unsettled !== undefined, 'a write must begin before it is committed')
    this.#durable = applyAll(this.#durable, this.#unsettled)
    this.#unsettled = undefined
  }

  #decideUnsettled(): void {
    const operations = this.#unsettled
    if (operations !== undefined && this.#survives(operations)) this.commit()
    this.#unsettled = undefined
  }
}

export interface MemoryIndexOptions {
  readonly disk?: MemoryIndexDisk
  /**
   * What a write or a read of a cursor waits for, a turn of the microtask queue unless told: the
   * simulator passes its virtual clock. A write fails if it rejects.
   */
  readonly settle?: () => Promise<void>
}

export class MemoryIndex implements OrderedIndex {
  readonly isShort = false
  readonly #disk: MemoryIndexDisk
  readonly #settle: () => Promise<void>
  /** The batch that must be written again. */
  #failed: readonly IndexOperation[] | undefined
  #running: Promise<void> | undefined
  #closing: Promise<void> | undefined

  private constructor(options: MemoryIndexOptions) {
    this.#disk = options.disk ?? new MemoryIndexDisk()
    this.#settle = options.settle ?? (() => Promise.resolve())
  }

  /** @throws IndexInUseError when the disk is open elsewhere and has not crashed */
  static async open(options: MemoryIndexOptions = {}): Promise<MemoryIndex> {
    const index = new MemoryIndex(options)
    index.#disk.acquire(index)
    await index.#settle()
    return index
  }

  get(key: Uint8Array): Buffer | undefined {
    if (this.#closing !== undefined) throw new IndexClosedError()
    const value = this.#disk.durable.get(key)
    return value && Buffer.from(value)
  }

  async write(operations: readonly IndexOperation[]): Promise<void> {
    assert(this.#running === undefined, 'index writes must not overlap')
    if (this.#closing !== undefined) throw new IndexClosedError()
    assert(
      this.#failed === undefined || this.#failed === operations,
      'a batch that failed is written again before any other',
    )
    if (!this.#disk.isHeldBy(this)) return neverSettles()
    this.#running = this.#writeBatch(operations)
    try {
      await this.#running
    } finally {
      this.#running = undefined
    }
  }

  iterate(range: IndexRange): IndexCursor {
    if (this.#closing !== undefined) throw new IndexClosedError()
    return new MemoryCursor(this.#disk.durable, range, () => this.#pause())
  }

  async size(): Promise<number> {
    return this.#disk.durable.byteSize()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (!this.#disk.isHeldBy(this)) return
    // A failed write has been reported to its caller; closing only waits for it to be over.
    await this.#running?.catch(() => undefined)
    this.#disk.release(this)
  }

  async #writeBatch(operations: readonly IndexOperation[]): Promise<void> {
    this.#disk.begin(operations)
    try {
      await this.#settle()
    } catch (cause) {
      if (!this.#disk.isHeldBy(this)) return neverSettles()
      this.#failed = operations
      throw new IndexWriteError(`writing to the index failed: ${messageOf(cause)}`, { cause })
    }
    if (!this.#disk.isHeldBy(this)) return neverSettles()
    this.#disk.commit()
    this.#failed = undefined
  }

  async #pause(): Promise<void> {
    if (this.#closing !== undefined) throw new IndexClosedError()
    await this.#settle()
    if (!this.#disk.isHeldBy(this)) return neverSettles()
  }
}

class MemoryCursor implements IndexCursor {
  readonly #map: SortedMap
  readonly #range: IndexRange
  readonly #pause: () => Promise<void>
  /** The next entry is at or after it, in reverse below it. */
  #position: Uint8Array
  #closed = false
  #busy = false

  constructor(map: SortedMap, range: IndexRange, pause: () => Promise<void>) {
    this.#map = map
    this.#range = range
    this.#pause = pause
    this.#position = range.reverse ? range.lt : range.gte
  }

  async next(limit: number): Promise<readonly IndexEntry[]> {
    assert(limit >= 1, 'a cursor must be asked for at least one entry')
    assert(!this.#busy && !this.#closed, 'a cursor must not be read while it is busy or closed')
    this.#busy = true
    try {
      await this.#pause()
    } finally {
      this.#busy = false
    }
    const entries: IndexEntry[] = []
    while (entries.length < limit) {
      const entry = this.#step()
      if (entry === undefined) break
      entries.push([Buffer.from(entry[0]), Buffer.from(entry[1])])
    }
    return entries
  }

  seek(key: Uint8Array): void {
    assert(!this.#busy, 'a cursor must not seek while it is being read')
    const { gte, lt, reverse = false } = this.#range
    if (reverse) this.#position = Buffer.compare(key, lt) >= 0 ? lt : successor(key)
    else this.#position = Buffer.compare(key, gte) < 0 ? gte : key
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #step(): IndexEntry | undefined {
    const { gte, lt, reverse = false } = this.#range
    const entry = reverse ? this.#map.before(this.#position) : this.#map.atOrAfter(this.#position)
    if (entry === undefined) return undefined
    const [key] = entry
    if (Buffer.compare(key, gte) < 0 || Buffer.compare(key, lt) >= 0) return undefined
    this.#position = reverse ? key : successor(key)
    return entry
  }
}

/** The lowest key above `key`. */
function successor(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.of(0)])
}

function applyAll(map: SortedMap, operations: readonly IndexOperation[]): SortedMap {
  let applied = map
  for (const operation of operations) {
    applied =
      operation.type === 'put'
        ? applied.with(operation.key, operation.value)
        : applied.without(operation.key)
  }
  return applied
}

/** What a caller gets whose process has crashed in the simulation: nobody is left to hear an answer. */
function neverSettles<T>(): Promise<T> {
  return new Promise(() => undefined)
}
