import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { DeviceSegment } from '../../src/device/device.ts'
import { ReadMerger } from '../../src/volume/read/read-merger.ts'

const size = 300_000
const content = Buffer.from(Uint8Array.from({ length: size }, (_, at) => (at * 31) % 251))

/** A segment in memory that counts its reads. */
class CountedSegment implements DeviceSegment {
  readonly size = size
  reads = 0
  failing = false

  async read(target: Uint8Array, position: number): Promise<number> {
    this.reads++
    if (this.failing) throw new Error('EIO: the disk is tired')
    return content.copy(target, 0, position)
  }

  async write(): Promise<void> {}
  async writeSynced(): Promise<void> {}
  async sync(): Promise<void> {}
  async trim(): Promise<void> {}
  async close(): Promise<void> {}
}

describe('merged reads', () => {
  it('give each reader its own bytes, whatever was asked for together', async () => {
    const read = fc.record({
      offset: fc.nat({ max: size - 1 }),
      length: fc.integer({ min: 1, max: 70_000 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(read, { maxLength: 20 }), async (reads) => {
        const merger = new ReadMerger()
        const segment = new CountedSegment()
        const answers = await Promise.all(
          reads.map(({ offset, length }) => merger.read(segment, offset, length)),
        )
        for (const [at, { offset, length }] of reads.entries()) {
          expect(answers[at]?.equals(content.subarray(offset, offset + length))).toBe(true)
        }
        expect(segment.reads).toBeLessThanOrEqual(reads.length * 2)
      }),
    )
  })

  it('cost one read when they lie side by side, in any order', async () => {
    const merger = new ReadMerger()
    const segment = new CountedSegment()
    const offsets = Array.from({ length: 50 }, (_, i) => ((i * 7) % 50) * 4500)
    await Promise.all(offsets.map((offset) => merger.read(segment, offset, 4400)))
    expect(segment.reads).toBe(1)
  })

  it('fail when the disk does, each for itself, and not the next ones', async () => {
    const merger = new ReadMerger()
    const segment = new CountedSegment()
    segment.failing = true
    const failed = await Promise.allSettled([
      merger.read(segment, 0, 10),
      merger.read(segment, 10, 10),
    ])
    expect(failed.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    expect(segment.reads).toBe(3)
    segment.failing = false
    expect((await merger.read(segment, 0, 10)).equals(content.subarray(0, 10))).toBe(true)
  })
})
