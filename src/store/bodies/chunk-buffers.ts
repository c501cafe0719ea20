/**
 * The memory in which large bodies become chunks, used over and over, and shared with the threads that
 * hash it. All writers together have so many chunks under way; whoever finds them taken has one at a
 * time, so that no upload keeps another one from moving.
 */
import { assert } from '../../base/assert.ts'

/** Chunks of one blob on their way at a time: two groups of the volume, one written while one fills. */
const writerChunksMax = 6
/** Of all blobs, in bytes, beside the one that each writer is allowed in any case. */
const sharedBytesMax = 24 * 2 ** 20

export class ChunkBuffers {
  readonly #bytes: number
  readonly #free: Buffer[] = []
  readonly #chunksMax: number
  #underWay = 0

  constructor(chunkBytes: number) {
    this.#bytes = chunkBytes
    this.#chunksMax = Math.floor(sharedBytesMax / chunkBytes)
  }

  /** One to fill. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(this.#bytes))
  }

  /** What was taken and never sent, or nobody reads any more. */
  giveBack(chunk: Buffer): void {
    assert(chunk.length === this.#bytes, 'a chunk comes back whole')
    if (this.#free.length < this.#chunksMax) this.#free.push(chunk)
  }

  /** It is full and on its way: to be given back once all of `uses` are over. */
  async underWay(chunk: Buffer, uses: Promise<unknown>): Promise<void> {
    this.#underWay++
    await uses
    this.#underWay--
    this.giveBack(chunk)
  }

  /** Whether a writer with so many chunks under way may fill another one. */
  mayFill(ofWriter: number): boolean {
    if (ofWriter <= 1) return true
    return ofWriter < writerChunksMax && this.#underWay < this.#chunksMax
  }
}
