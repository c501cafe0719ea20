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

/** What a writer keeps from being freed. */
interface Hold {
  /** Segments from this generation on, while bytes are on their way. */
  from: number
  /** Where its bytes have come to lie. */
  readonly generations: Set<number>
}

const nowhere = Number.POSITIVE_INFINITY

/** Which bulk segments may have bytes that the index does not count yet. */
export class OpenWriters {
  readonly #holds = new Map<object, Hold>()
  /** How many times a segment may have become free of writers. */
  changes = 0
  #listener: () => void = () => undefined

  /** `listener` is called whenever a writer has closed; there is one. */
  onClosed(listener: () => void): void {
    this.#listener = listener
  }

  opened(writer: object): void {
    this.#holds.set(writer, { from: nowhere, generations: new Set() })
  }

  /** Bytes are on their way: to the open segment, or to one that is opened for them. */
  sends(writer: object, segments: readonly SegmentInfo[]): void {
    const hold = this.#holds.get(writer)
    if (hold === undefined || hold.from !== nowhere) return
    hold.from = 0
    for (const { stream, state, generation } of segments) {
      if (stream !== 'bulk') continue
      hold.from = Math.max(hold.from, state === 'open' ? generation : generation + 1)
    }
  }

  landed(writer: object, { generation }: Location): void {
    this.#holds.get(writer)?.generations.add(generation)
  }

  /** Nothing is on its way any more: a slow client holds what it has sent, and nothing else. */
  rests(writer: object): void {
    const hold = this.#holds.get(writer)
    if (hold === undefined) return
    if (!hold.generations.has(hold.from)) this.changes++
    hold.from = nowhere
  }

  closed(writer: object): void {
    if (!this.#holds.delete(writer)) return
    this.changes++
    this.#listener()
  }

  mayUse(generation: number): boolean {
    for (const { from, generations } of this.#holds.values()) {
      if (generation >= from || generations.has(generation)) return true
    }
    return false
  }
}

export class BlobWriter {
  readonly id: string
  readonly #log: BulkLog
  readonly #writers: OpenWriters
  readonly #extents: Promise<Location>[] = []
  #inFlight = 0
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
    this.#writers.opened(this)
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
    const extent = this.#send(record)
    // The failure is thrown to the writer at its next step; here it only must not go unhandled.
    extent.catch((thrown: unknown) => {
      this.#failure ??= thrown
    })
    this.#extents.push(extent)
    const oldest = this.#extents[this.#extents.length - chunksInFlightMax]
    if (oldest !== undefined) await oldest
    if (this.#failure !== undefined) throw this.#failure
  }

  async #send(record: RecordInput): Promise<Location> {
    this.#inFlight++
    this.#writers.sends(this, this.#log.segments())
    try {
      const location = await this.#log.appendBulk(record)
      this.#writers.landed(this, location)
      return location
    } finally {
      this.#inFlight--
      if (this.#inFlight === 0) this.#writers.rests(this)
    }
  }
}
