/**
 * Brings a large body into the bulk stream, chunk by chunk, while hashing it. The bytes are live
 * from here on: as long as a writer is open, {@link OpenWriters} keeps its segments from being freed;
 * afterwards the index does.
 */
import { createHash, type Hash } from 'node:crypto'
import { assert } from '../base/assert.ts'
import type { Random } from '../base/random.ts'
import type { Location, RecordInput, SegmentInfo } from '../volume/volume.ts'
import { chunkRecord, type PlacedBlob } from './records.ts'

/** What blobs need of the volume. */
export interface BulkLog {
  readonly limits: { readonly chunkBytes: number }
  appendBulk(record: RecordInput): Promise<Location>
  segments(): readonly SegmentInfo[]
}

export interface BodyDigests {
  readonly md5: Buffer
  readonly sha256: Buffer
}

/** Chunks of one blob on their way to the disk at a time: enough to keep it busy while hashing. */
const chunksInFlightMax = 4

/** The MD5 and SHA-256 of a stream of bytes, in order. */
export class BodyHasher {
  readonly #md5: Hash = createHash('md5')
  readonly #sha256: Hash = createHash('sha256')

  update(bytes: Uint8Array): void {
    this.#md5.update(bytes)
    this.#sha256.update(bytes)
  }

  digest(): BodyDigests {
    return { md5: this.#md5.digest(), sha256: this.#sha256.digest() }
  }
}

/** Which bulk segments may still receive bytes that the index does not count yet. */
export class OpenWriters {
  readonly #from = new Map<BlobWriter, number>()
  /** How many writers have closed so far. */
  closedCount = 0
  #listener: () => void = () => undefined

  /** `listener` is called whenever a writer has closed; there is one. */
  onClosed(listener: () => void): void {
    this.#listener = listener
  }

  opened(writer: BlobWriter, segments: readonly SegmentInfo[]): void {
    let from = 0
    for (const segment of segments) {
      if (segment.stream !== 'bulk') continue
      from = Math.max(from, segment.state === 'open' ? segment.generation : segment.generation + 1)
    }
    this.#from.set(writer, from)
  }

  closed(writer: BlobWriter): void {
    if (!this.#from.delete(writer)) return
    this.closedCount++
    this.#listener()
  }

  mayUse(generation: number): boolean {
    for (const from of this.#from.values()) if (generation >= from) return true
    return false
  }
}

export class BlobWriter {
  readonly id: string
  readonly #log: BulkLog
  readonly #writers: OpenWriters
  readonly #extents: Promise<Location>[] = []
  #chunk: Buffer | undefined
  #filled = 0
  #size = 0
  #failure: unknown

  constructor(options: {
    readonly log: BulkLog
    readonly random: Random
    readonly writers: OpenWriters
  }) {
    this.id = Buffer.from(options.random.bytes(16)).toString('hex')
    this.#log = options.log
    this.#writers = options.writers
    this.#writers.opened(this, options.log.segments())
  }

  get size(): number {
    return this.#size
  }

  /** Copies `bytes`; resolves when more may come. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      this.#chunk ??= Buffer.allocUnsafeSlow(this.#log.limits.chunkBytes)
      const taken = rest.subarray(0, this.#chunk.length - this.#filled)
      this.#chunk.set(taken, this.#filled)
      this.#filled += taken.length
      this.#size += taken.length
      rest = rest.subarray(taken.length)
      if (this.#filled === this.#chunk.length) await this.#flush()
    }
  }

  /** Resolves when all of it is durable in the bulk stream. The writer stays open: see {@link close}. */
  async finish(): Promise<PlacedBlob> {
    if (this.#filled > 0) await this.#flush()
    const extents = await Promise.all(this.#extents)
    assert(
      extents.reduce((sum, extent) => sum + extent.bodyLength, 0) === this.#size,
      'a blob has all its chunks',
    )
    return { id: this.id, size: this.#size, extents }
  }

  /** Once the index counts the blob, or nobody wants it: its segments may be freed from now on. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#extents)
    this.#writers.closed(this)
  }

  async #flush(): Promise<void> {
    const chunk = this.#chunk
    assert(chunk !== undefined, 'a flush has bytes')
    const record = chunkRecord(this.id, this.#extents.length, chunk.subarray(0, this.#filled))
    this.#chunk = undefined
    this.#filled = 0
    const extent = this.#log.appendBulk(record)
    // The failure is thrown to the writer at its next step; here it only must not go unhandled.
    extent.catch((thrown: unknown) => {
      this.#failure ??= thrown
    })
    this.#extents.push(extent)
    const oldest = this.#extents[this.#extents.length - chunksInFlightMax]
    if (oldest !== undefined) await oldest
    if (this.#failure !== undefined) throw this.#failure
  }
}
