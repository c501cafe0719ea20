/**
 * Brings a large body into the bulk stream, chunk by chunk, while it is hashed. The bytes are live
 * from here on: as long as a writer is open, {@link OpenWriters} keeps its segments from being freed;
 * afterwards the index does.
 *
 * It promises that a blob that is finished is durable. It must never know what becomes of it: an object, a part
 * of an upload, a copy.
 */
import { assert } from '../../base/assert.ts'
import type { Random } from '../../base/random.ts'
import type { Location, RecordInput, SegmentInfo } from '../../volume/volume.ts'
import type { ByteHasher } from '../model/body-hasher.ts'
import { chunkRecord, type PlacedBlob } from '../tables/records.ts'
import type { ChunkBuffers } from './chunk-buffers.ts'

/** What blobs need of the volume. */
export interface BulkLog {
  readonly limits: { readonly chunkBytes: number }
  appendBulk(record: RecordInput): Promise<Location>
  segments(): readonly SegmentInfo[]
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
  #settled: () => Promise<void> | undefined = () => undefined

  /** `listener` is called whenever a writer has closed; there is one. */
  onClosed(listener: () => void): void {
    this.#listener = listener
  }

  /**
   * A writer may be closed because its owner was told of a failure, while what became of its blob is open
   * still: then it holds its segments until what this returns resolves.
   */
  closeAfter(settled: () => Promise<void> | undefined): void {
    this.#settled = settled
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
    const settled = this.#settled()
    if (settled === undefined) this.#forget(writer)
    else void settled.then(() => this.#forget(writer))
  }

  mayUse(generation: number): boolean {
    for (const { from, generations } of this.#holds.values()) {
      if (generation >= from || generations.has(generation)) return true
    }
    return false
  }

  #forget(writer: object): void {
    if (!this.#holds.delete(writer)) return
    this.changes++
    this.#listener()
  }
}

/** At a rest, what has come is made a chunk from so many bytes on, and less is kept in memory. */
const shortChunkBytesMin = 64 * 1024
/** The map of an object's chunks has room for so many beside the whole ones of the largest object. */
const shortChunksMax = 1024

export interface BlobWriterOptions {
  readonly log: BulkLog
  readonly random: Random
  readonly writers: OpenWriters
  readonly chunks: ChunkBuffers
}

export class BlobWriter {
  readonly id: string
  readonly #log: BulkLog
  readonly #writers: OpenWriters
  readonly #chunks: ChunkBuffers
  readonly #hasher: ByteHasher | undefined
  readonly #extents: Promise<Location>[] = []
  /** One for each chunk that is being hashed or written, the oldest first; none of them rejects. */
  readonly #underWay: Promise<void>[] = []
  #sending = 0
  #chunk: Buffer | undefined
  /** What the chunk held when nothing more came. */
  #parked: Buffer | undefined
  #shortChunks = 0
  #filled = 0
  #size = 0
  #failure: unknown

  /** @param hasher is given what is written; its owner asks it for the digests, and closes it */
  constructor(options: BlobWriterOptions, hasher?: ByteHasher) {
    this.id = Buffer.from(options.random.bytes(16)).toString('hex')
    this.#log = options.log
    this.#writers = options.writers
    this.#chunks = options.chunks
    this.#hasher = hasher
    this.#writers.opened(this)
  }

  get size(): number {
    return this.#size
  }

  /** Copies `bytes`; resolves when more may come. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      this.#chunk ??= this.#takeChunk()
      const taken = rest.subarray(0, this.#chunk.length - this.#filled)
      this.#chunk.set(taken, this.#filled)
      this.#filled += taken.length
      this.#size += taken.length
      rest = rest.subarray(taken.length)
      if (this.#filled === this.#chunk.length) await this.#flush()
    }
  }

  /** Nothing may come for a while: the chunk that was being filled is given back, until more comes. */
  async rest(): Promise<void> {
    const chunk = this.#chunk
    if (chunk === undefined) return
    if (this.#filled >= shortChunkBytesMin && this.#shortChunks < shortChunksMax) {
      this.#shortChunks++
      await this.#flush()
      return
    }
    this.#parked = Buffer.from(chunk.subarray(0, this.#filled))
    this.#chunk = undefined
    this.#chunks.giveBack(chunk)
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
    if (this.#chunk !== undefined) this.#chunks.giveBack(this.#chunk)
    this.#chunk = undefined
    this.#parked = undefined
    this.#filled = 0
    await Promise.all(this.#underWay)
    this.#writers.closed(this)
  }

  #takeChunk(): Buffer {
    const chunk = this.#chunks.take()
    if (this.#parked !== undefined) chunk.set(this.#parked)
    this.#parked = undefined
    return chunk
  }

  async #flush(): Promise<void> {
    const chunk = this.#chunk ?? this.#takeChunk()
    const bytes = chunk.subarray(0, this.#filled)
    this.#chunk = undefined
    this.#filled = 0
    const extent = this.#send(chunkRecord(this.id, this.#extents.length, bytes))
    this.#extents.push(extent)
    this.#underWay.push(this.#ended(chunk, [extent, this.#hasher?.update(bytes)]))
    while (!this.#chunks.mayFill(this.#underWay.length)) await this.#underWay.shift()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The failure is thrown to the writer at its next step. */
  async #ended(chunk: Buffer, uses: readonly (Promise<unknown> | undefined)[]): Promise<void> {
    const over = Promise.allSettled(uses)
    await this.#chunks.underWay(chunk, over)
    for (const outcome of await over) {
      if (outcome.status === 'rejected') this.#failure ??= outcome.reason
    }
  }

  async #send(record: RecordInput): Promise<Location> {
    this.#sending++
    this.#writers.sends(this, this.#log.segments())
    try {
      const location = await this.#log.appendBulk(record)
      this.#writers.landed(this, location)
      return location
    } finally {
      this.#sending--
      if (this.#sending === 0) this.#writers.rests(this)
    }
  }
}
