/**
 * A backing in memory whose power goes in the middle of a write: of every write that was under way, some
 * pieces are there and some are not. Writes that had resolved are there. It can fail, too.
 */
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import type { BackingHandle, SlotBacking } from '../../src/device/slot-backing.ts'
import { PowerLossError } from '../volume/faulty-disk.ts'

/** Smaller than any sector: nothing may depend on how large one is. */
const pieceBytes = 16

export class LossyBacking implements SlotBacking {
  readonly name = 'lossy backing'
  readonly bytes: Buffer
  /** Writes so far. */
  operations = 0
  /** The power goes during this one. */
  powerOffAt = Number.POSITIVE_INFINITY
  /** Writes of this number fail with EIO, having got somewhere. */
  readonly failing = new Set<number>()
  /** Each write's position and length. */
  readonly trace: { readonly position: number; readonly length: number }[] = []
  openHandles = 0
  readonly #random: Random
  readonly #under = new Set<() => void>()
  #off = false

  constructor(bytes: Buffer, seed = 1) {
    this.bytes = bytes
    this.#random = seededRandom(seed)
  }

  get size(): number {
    return this.bytes.length
  }

  /** What the next process finds; nothing of this one goes on. */
  afterPowerLoss(): LossyBacking {
    this.#off = true
    return new LossyBacking(Buffer.from(this.bytes), randomBelow(this.#random, 2 ** 31))
  }

  async open(): Promise<BackingHandle> {
    this.#assertPower()
    this.openHandles++
    return {
      read: async (target, position) => {
        this.#assertPower()
        const part = this.bytes.subarray(position, position + target.length)
        target.set(part)
        return part.length
      },
      write: (buffers, position) => this.#write(Buffer.concat(buffers), position),
      close: async () => {
        this.openHandles--
      },
    }
  }

  async close(): Promise<void> {}

  async #write(bytes: Buffer, position: number): Promise<void> {
    this.#assertPower()
    const number = ++this.operations
    this.trace.push({ position, length: bytes.length })
    const part = (): void => this.#writeSome(bytes, position)
    this.#under.add(part)
    await Promise.resolve()
    this.#assertPower()
    if (number === this.powerOffAt) {
      this.#off = true
      for (const writeSome of this.#under) writeSome()
      throw new PowerLossError('the power goes')
    }
    this.#under.delete(part)
    if (this.failing.has(number)) {
      part()
      throw Object.assign(new Error('EIO: planned by the test'), { code: 'EIO' })
    }
    bytes.copy(this.bytes, position)
  }

  #writeSome(bytes: Buffer, position: number): void {
    const all = this.#random.fraction()
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      if (all > 0.2 && this.#random.fraction() < 0.5) continue
      bytes.subarray(at, at + pieceBytes).copy(this.bytes, position + at)
    }
  }

  #assertPower(): void {
    if (this.#off) throw new PowerLossError('the power is off')
  }
}
