/**
 * Copies what is still live in a bulk segment to the bulk's end. A chunk is known by its blob and its
 * number there, which the copy bears too; the index says where each chunk of a blob lies, and learns of
 * the copies once they are durable. No record of the log is needed: whoever builds the index anew finds
 * the copies by their labels (`chunk-places.ts`).
 */
import { type Clock, delay } from '../../base/clock.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { blockBytes } from '../../volume/format/limits.ts'
import type {
  ListedRecord,
  Location,
  RecordInput,
  SegmentInfo,
  SegmentUse,
  StoredRecord,
} from '../../volume/volume.ts'
import type { OpenWriters } from '../bodies/blob-writer.ts'
import { type ChunkMove, ExtentLookup, movedChunks } from '../bodies/chunk-places.ts'
import type { EffectContext } from '../tables/effects.ts'
import type { IndexBatch } from '../tables/index-batch.ts'
import { isSame } from '../tables/moved-records.ts'
import { chunkRecord, decodeChunkLabel, recordKinds } from '../tables/records.ts'
import type { SegmentCount } from '../tables/small-entries.ts'
import type { Mover, MoveUnderWay } from './record-mover.ts'

/** What the mover needs of the volume. */
export interface MovableBulk {
  readonly limits: {
    readonly groupBytesMax: number
    readonly chunkBytes: number
  }
  recordsOf(use: SegmentUse): Promise<readonly ListedRecord[]>
  readRecord(
    location: Location,
    expect: { readonly seq: number },
  ): Promise<StoredRecord & { readonly body: Buffer }>
  appendBulk(record: RecordInput, options: { readonly isCopy: boolean }): Promise<Location>
  segments(): readonly SegmentInfo[]
}

export interface ChunkMoverOptions {
  readonly volume: MovableBulk
  readonly index: OrderedIndex
  readonly writers: OpenWriters
  /** Runs with the next index batch; resolves when that is durable. */
  readonly runTask: (build: (batch: IndexBatch) => void) => Promise<void>
  readonly contextOf: (batch: IndexBatch) => EffectContext
  readonly clock: Clock
}

/** A chunk of a segment that is being cleaned. */
interface LiveChunk {
  readonly blob: string
  readonly index: number
  readonly from: Location
}

interface ReadChunk extends LiveChunk {
  readonly body: Buffer
}

/** Of the footer, and of what a record has besides its body. */
const chunkOverhead = 128
const lookupsPerStep = 256

export class ChunkMover implements Mover {
  readonly #options: ChunkMoverOptions

  constructor(options: ChunkMoverOptions) {
    this.#options = options
  }

  /** With a group's padding for each step. */
  costOf({ records, bytes }: SegmentCount): number {
    const groups = Math.ceil(records / this.#chunksPerStep)
    return bytes + records * chunkOverhead + groups * blockBytes
  }

  async move(segment: SegmentUse, under: MoveUnderWay): Promise<void> {
    const { writers, volume } = this.#options
    const live = await this.#findLive(segment, under.signal)
    const bytes = live.reduce((sum, { from }) => sum + bytesOf(from), 0)
    const cost = this.costOf({ generation: segment.generation, records: live.length, bytes })
    if (!under.accepts(cost)) return
    // Until the index counts the copies, their segments must not be taken for empty.
    const hold = {}
    writers.opened(hold)
    writers.sends(hold, volume.segments())
    try {
      await this.#moveAll(live, under)
    } finally {
      writers.closed(hold)
    }
  }

  get #chunksPerStep(): number {
    const { groupBytesMax, chunkBytes } = this.#options.volume.limits
    return Math.max(1, Math.floor(groupBytesMax / (chunkBytes + chunkOverhead)))
  }

  async #findLive(segment: SegmentUse, signal: AbortSignal): Promise<readonly LiveChunk[]> {
    const { volume, index, clock } = this.#options
    const live: LiveChunk[] = []
    const extents = new ExtentLookup((key) => index.get(key))
    for (const [at, record] of (await volume.recordsOf(segment)).entries()) {
      if (at % lookupsPerStep === lookupsPerStep - 1) {
        await delay(clock, 0, signal)
        extents.forget()
      }
      if (record.kind !== recordKinds.chunk) continue
      const { blobId: blob, index: number } = decodeChunkLabel(record.label)
      const known = extents.of(blob)?.[number]
      const from = record.location
      if (isSame(known, from)) live.push({ blob, index: number, from })
    }
    return live
  }

  /** While one step is being written, the next one is read. */
  async #moveAll(live: readonly LiveChunk[], under: MoveUnderWay): Promise<void> {
    const indexed: Promise<void>[] = []
    const steps = this.#stepsOf(live)
    let ahead = this.#read(steps.shift() ?? [])
    try {
      for (;;) {
        const step = await ahead
        if (step.length === 0 || under.signal.aborted) break
        ahead = this.#read(steps.shift() ?? [])
        ahead.catch(() => undefined) // thrown again where it is awaited
        const done = this.#tellIndex(await this.#copy(step))
        done.catch(() => undefined) // likewise
        indexed.push(done)
        const bytes = step.reduce((sum, { from }) => sum + bytesOf(from), 0)
        await under.moved({ records: step.length, bytes })
      }
    } finally {
      await Promise.allSettled([ahead, ...indexed])
    }
    await Promise.all(indexed)
  }

  #stepsOf(live: readonly LiveChunk[]): (readonly LiveChunk[])[] {
    const size = this.#chunksPerStep
    const count = Math.ceil(live.length / size)
    return Array.from({ length: count }, (_, at) => live.slice(at * size, (at + 1) * size))
  }

  /** Nothing is copied that does not match its checksum. */
  async #read(step: readonly LiveChunk[]): Promise<readonly ReadChunk[]> {
    const { volume } = this.#options
    return await Promise.all(
      step.map(async (chunk) => {
        const { body } = await volume.readRecord(chunk.from, { seq: 0 })
        return { ...chunk, body }
      }),
    )
  }

  /** Resolves when all copies are durable; when one is not, none of them counts. */
  async #copy(step: readonly ReadChunk[]): Promise<readonly ChunkMove[]> {
    const { volume } = this.#options
    const copies = step.map(async ({ blob, index, from, body }) => {
      const record = chunkRecord(blob, index, body)
      const to = await volume.appendBulk(record, { isCopy: true })
      return { blob, index, from, to }
    })
    await Promise.allSettled(copies)
    return await Promise.all(copies)
  }

  #tellIndex(moves: readonly ChunkMove[]): Promise<void> {
    const { runTask, contextOf } = this.#options
    return runTask((batch) => movedChunks(contextOf(batch), moves))
  }
}

function bytesOf({ headLength, bodyLength }: Location): number {
  return headLength + bodyLength
}
