/**
 * A segment on a disk that fails: what the system cannot read is zeros, block by block, and noted. No
 * checksum holds over it, so that nothing of it is taken for data.
 */
import { systemCodeOf } from '../../base/errors.ts'
import type { DeviceSegment } from '../../device/device.ts'
import { blockBytes } from '../format/limits.ts'
import type { ReadableSegment } from './segment-read.ts'

export class TolerantSegment implements ReadableSegment {
  readonly #segment: DeviceSegment
  #unreadableBlocks = 0

  constructor(segment: DeviceSegment) {
    this.#segment = segment
  }

  get size(): number {
    return this.#segment.size
  }

  /** Reads of a block that the disk has refused. */
  get unreadableBlocks(): number {
    return this.#unreadableBlocks
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    try {
      return await this.#segment.read(target, position)
    } catch (thrown) {
      if (!isReadError(thrown)) throw thrown
      return await this.#readBlocks(target, position)
    }
  }

  async #readBlocks(target: Uint8Array, position: number): Promise<number> {
    const length = Math.max(0, Math.min(target.length, this.size - position))
    for (let at = 0; at < length; ) {
      const toBorder = blockBytes - ((position + at) % blockBytes)
      const block = target.subarray(at, Math.min(length, at + toBorder))
      try {
        await this.#segment.read(block, position + at)
      } catch (thrown) {
        if (!isReadError(thrown)) throw thrown
        block.fill(0)
        this.#unreadableBlocks++
      }
      at += block.length
    }
    return length
  }
}

function isReadError(thrown: unknown): boolean {
  return systemCodeOf(thrown) === 'EIO'
}
