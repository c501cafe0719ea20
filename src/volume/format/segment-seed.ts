/**
 * The seed of every checksum inside a segment: volume id, segment, generation and the offset of what
 * is summed. Bytes of another volume, an earlier generation or another place (an object that holds a
 * copy of a segment, say) therefore never check out, however well formed they are.
 */
import { checksum } from '../../base/checksum.ts'
import type { SegmentUse } from './record.ts'

export class SegmentSeed {
  readonly #base: number
  readonly #offset = Buffer.alloc(8)

  /** @param volumeId 16 bytes */
  constructor(volumeId: Uint8Array, use: SegmentUse) {
    const prefix = Buffer.alloc(24)
    prefix.set(volumeId)
    prefix.writeUInt32LE(use.segment, 16)
    prefix.writeUInt32LE(use.generation, 20)
    this.#base = checksum(prefix)
  }

  /** What a checksum over bytes at `offset` starts from. */
  at(offset: number): number {
    this.#offset.writeUInt32LE(offset, 0)
    return checksum(this.#offset, this.#base)
  }
}
