/**
 * Where the chunks of blobs lie, when they are moved and when the index is built anew. A record of the
 * log says where a blob's chunks lay when it was written; they may have been moved since, which only the
 * index knows, and the labels of the chunks themselves.
 */
import { assert } from '../../base/assert.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { ListedRecord, Location, SegmentInfo, SegmentUse } from '../../volume/volume.ts'
import type { Accounts } from '../tables/accounts.ts'
import { type EffectContext, nothingLaunched } from '../tables/effects.ts'
import { IndexBatch } from '../tables/index-batch.ts'
import { blobKey, chunksUnplacedKey } from '../tables/keys.ts'
import { isSame } from '../tables/moved-records.ts'
import { decodeChunkLabel, recordKinds } from '../tables/records.ts'
import { decodeExtents, encodeExtents } from '../tables/small-entries.ts'

export interface ChunkMove {
  readonly blob: string
  readonly index: number
  readonly from: Location
  readonly to: Location
}

/** The extents of blobs, of which the last one that was asked for is kept: chunks lie by blobs. */
export class ExtentLookup {
  readonly #read: (key: Buffer) => Buffer | undefined
  #blob: string | undefined
  #extents: readonly Location[] | undefined

  constructor(read: (key: Buffer) => Buffer | undefined) {
    this.#read = read
  }

  of(blob: string): readonly Location[] | undefined {
    if (blob === this.#blob) return this.#extents
    const value = this.#read(blobKey(blob))
    this.#blob = blob
    this.#extents = value === undefined ? undefined : decodeExtents(value)
    return this.#extents
  }

  /** What is in the index may have changed. */
  forget(): void {
    this.#blob = undefined
  }
}

/** Copies take the place of the chunks; not of those that have died, or were moved, meanwhile. */
export function movedChunks(context: EffectContext, moves: readonly ChunkMove[]): void {
  const { batch, accounts } = context
  for (const [blob, ofBlob] of Map.groupBy(moves, (move) => move.blob)) {
    const value = batch.read(blobKey(blob))
    if (value === undefined) continue
    const extents = decodeExtents(value)
    let hasMoved = false
    for (const { index, from, to } of ofBlob) {
      if (!isSame(extents[index], from)) continue
      assert(from.bodyLength === to.bodyLength, 'a copy of a chunk is as long as the chunk')
      accounts.recordLives(to)
      accounts.recordDies(from)
      extents[index] = to
      hasMoved = true
    }
    if (hasMoved) batch.putReadable(blobKey(blob), encodeExtents(extents))
  }
}

/** What finding the places needs of the volume, once it is active. */
export interface BulkSegments {
  segments(): readonly SegmentInfo[]
  scanRecords(use: SegmentUse): Promise<readonly ListedRecord[]>
}

const movesPerBatch = 2000

/**
 * After an index was built anew: chunks whose segment is gone are looked for by their labels. It is
 * noted in the index until it is done, so that a start which is cut off does it again.
 */
export async function findMovedChunks(from: {
  readonly volume: BulkSegments
  readonly index: OrderedIndex
  readonly accounts: Accounts
  /** Told when they have been found, while the last batch is built. */
  readonly onFound: (context: EffectContext) => void
}): Promise<void> {
  const { volume, index, accounts, onFound } = from
  if (index.get(chunksUnplacedKey) === undefined) return
  const segments = volume.segments()
  const present = new Set(segments.map(({ generation }) => generation))
  let batch = new IndexBatch(index)
  const flush = async (): Promise<void> => {
    accounts.flush(batch)
    await index.write(batch.operations)
    batch = new IndexBatch(index)
  }
  const contextOf = (): EffectContext => {
    return { batch, accounts, launched: nothingLaunched, now: 0 }
  }
  for (const segment of segments) {
    if (segment.stream !== 'bulk') continue
    const moves = lostChunksIn(await volume.scanRecords(segment), batch, present)
    movedChunks(contextOf(), moves)
    if (batch.operations.length >= movesPerBatch) await flush()
  }
  onFound(contextOf())
  batch.del(chunksUnplacedKey)
  await flush()
}

function lostChunksIn(
  records: readonly ListedRecord[],
  batch: IndexBatch,
  present: ReadonlySet<number>,
): readonly ChunkMove[] {
  const extents = new ExtentLookup((key) => batch.read(key))
  const moves: ChunkMove[] = []
  for (const { kind, label, location } of records) {
    if (kind !== recordKinds.chunk) continue
    const { blobId: blob, index } = decodeChunkLabel(label)
    const from = extents.of(blob)?.[index]
    if (from === undefined || present.has(from.generation)) continue
    // A missing segment may come back with its bytes, which are the same.
    if (from.bodyLength === location.bodyLength) moves.push({ blob, index, from, to: location })
  }
  return moves
}
