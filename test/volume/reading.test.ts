import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { CorruptRecordError, StaleLocationError } from '../../src/volume/format/errors.ts'
import type { Location, Volume } from '../../src/volume/volume.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { chunk, contentOf, group, seqsOf, startVolume } from './scenario.ts'

const bodyBytes = 300_000

/** A chunk of several checksum blocks; segments of 4 MiB take bodies up to 512 KiB. */
async function withLargeChunk(): Promise<{
  readonly disk: FaultyDisk
  readonly volume: Volume
  readonly location: Location
  readonly body: Buffer
}> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk, { format: { segmentBytes: 4 * 2 ** 20 } })
  await volume.appendBulk(chunk(0))
  const body = Buffer.from(seededRandom(1).bytes(bodyBytes))
  const location = await volume.appendBulk({ ...chunk(1), seq: 5, body: [body] })
  return { disk, volume, location, body }
}

async function withGroup(): Promise<{
  readonly disk: FaultyDisk
  readonly volume: Volume
  readonly locations: readonly Location[]
}> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk)
  const locations = await volume.appendGroup(group(1))
  return { disk, volume, locations }
}

function at(locations: readonly Location[], index: number): Location {
  const location = locations[index]
  if (location === undefined) throw new Error(`no location ${index}`)
  return location
}

describe('Reading a record', () => {
  it('returns kind, seq, label, head and body as they were appended', async () => {
    const { volume, locations } = await withGroup()
    const read = await volume.readRecord(at(locations, 1), { seq: 2 })
    expect(read).toMatchObject({ kind: 1, seq: 2 })
    expect(read.label.toString()).toBe('label of 2')
    expect(read.head.toString()).toBe('head of 2')
    expect(read.body.equals(contentOf(2, 100))).toBe(true)
  })

  it('takes one read of the disk', async () => {
    const { disk, volume, locations } = await withGroup()
    disk.trace.length = 0
    await volume.readRecord(at(locations, 0), { seq: 1 })
    expect(disk.trace).toEqual(['read'])
  })

  it('names the record that is not the one asked for', async () => {
    const { volume, locations } = await withGroup()
    await expect(volume.readRecord(at(locations, 0), { seq: 9 })).rejects.toThrow(
      /seq 1, 9 was asked/,
    )
    const wrong = { ...at(locations, 0), offset: at(locations, 1).offset + 1 }
    await expect(volume.readRecord(wrong, { seq: 1 })).rejects.toThrow(CorruptRecordError)
    const shorter = { ...at(locations, 0), bodyLength: 99 }
    await expect(volume.readRecord(shorter, { seq: 1 })).rejects.toThrow(CorruptRecordError)
    const beyond = { ...at(locations, 0), offset: 65_500 }
    await expect(volume.readRecord(beyond, { seq: 1 })).rejects.toThrow(CorruptRecordError)
  })

  it('notices every single byte that rots', async () => {
    const { disk, volume, locations } = await withGroup()
    const location = at(locations, 1)
    const flip = (offset: number): void => {
      disk.tamper(location.segment, (bytes) => {
        bytes[offset] = (bytes[offset] ?? 0) ^ 0x10
      })
    }
    for (let i = 0; i < location.headLength + location.bodyLength; i++) {
      flip(location.offset + i)
      const failure = await volume.readRecord(location, { seq: 2 }).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(CorruptRecordError)
      const { segment, generation, offset } = location
      expect((failure as CorruptRecordError).facts).toMatchObject({ segment, generation, offset })
      flip(location.offset + i)
    }
    await volume.readRecord(location, { seq: 2 })
  })
})

describe('Reading a range of a body', () => {
  it('returns exactly those bytes, whatever the range', async () => {
    const { volume, location, body } = await withLargeChunk()
    const ranges = fc.tuple(fc.nat(bodyBytes), fc.nat(bodyBytes))
    await fc.assert(
      fc.asyncProperty(ranges, async ([a, b]) => {
        const [start, end] = a < b ? [a, b] : [b, a]
        const read = await volume.readBody(location, { start, end })
        expect(read.equals(body.subarray(start, end))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('reads header and a range in the middle in two reads, from the start in one', async () => {
    const { disk, volume, location } = await withLargeChunk()
    disk.trace.length = 0
    await volume.readBody(location, { start: 200_000, end: 200_001 })
    expect(disk.trace).toEqual(['read', 'read'])
    disk.trace.length = 0
    await volume.readBody(location, { start: 0, end: bodyBytes })
    expect(disk.trace).toEqual(['read'])
  })

  it('verifies the blocks that it touches, and only those', async () => {
    const { disk, volume, location, body } = await withLargeChunk()
    disk.tamper(location.segment, (bytes) => {
      const where = location.offset + location.headLength + 70_000
      bytes[where] = (bytes[where] ?? 0) ^ 1
    })
    const before = await volume.readBody(location, { start: 0, end: 65_536 })
    expect(before.equals(body.subarray(0, 65_536))).toBe(true)
    await volume.readBody(location, { start: 131_072, end: bodyBytes })
    for (const [start, end] of [
      [65_536, 65_537],
      [65_535, 65_537],
      [0, bodyBytes],
    ] as const) {
      await expect(volume.readBody(location, { start, end })).rejects.toThrow(/body block 1/)
    }
  })

  it('refuses a range outside of the body', async () => {
    const { volume, location } = await withLargeChunk()
    await expect(volume.readBody(location, { start: 0, end: bodyBytes + 1 })).rejects.toThrow(
      'inside the body',
    )
    await expect(volume.readBody(location, { start: -1, end: 1 })).rejects.toThrow(
      'inside the body',
    )
    await expect(volume.readBody(location, { start: 2, end: 1 })).rejects.toThrow('inside the body')
  })

  it('can be of no bytes', async () => {
    const { volume, location } = await withLargeChunk()
    expect(await volume.readBody(location, { start: 7, end: 7 })).toHaveLength(0)
  })
})

describe('Freeing a segment', () => {
  /** Segment 0 sealed with three records, segment 1 open. */
  async function sealedAndOpen(): Promise<{
    disk: FaultyDisk
    volume: Volume
    locations: Location[]
  }> {
    const disk = new FaultyDisk()
    const { volume: first } = await startVolume(disk)
    const locations = [...(await first.appendGroup(group(1)))]
    await first.close()
    const { volume } = await startVolume(disk)
    return { disk, volume, locations }
  }

  it('gives its space back and makes its locations stale', async () => {
    const { disk, volume, locations } = await sealedAndOpen()
    const { usedBytes } = volume.usage()
    await volume.freeSegment(0, 1)
    expect(volume.usage().usedBytes).toBeLessThan(usedBytes)
    expect(disk.segments.has(0)).toBe(false)
    expect(volume.segments().map(({ segment }) => segment)).toEqual([1])
    await expect(volume.readRecord(at(locations, 0), { seq: 1 })).rejects.toThrow(
      StaleLocationError,
    )
    expect(() => volume.pin(at(locations, 0))).toThrow(StaleLocationError)
  })

  it('does nothing when it is gone already, or used again', async () => {
    const { volume } = await sealedAndOpen()
    await volume.freeSegment(0, 1)
    await volume.freeSegment(0, 1)
    await volume.freeSegment(0, 77)
    expect(volume.segments()).toHaveLength(1)
  })

  it('is refused for the segment that is being written', async () => {
    const { volume } = await sealedAndOpen()
    await expect(volume.freeSegment(1, 2)).rejects.toThrow('only a sealed segment')
  })

  it('waits for the last pin, and readers go on until then', async () => {
    const { disk, volume, locations } = await sealedAndOpen()
    const releaseOne = volume.pin(at(locations, 0))
    const releaseTwo = volume.pin([
      { segment: 0, generation: 1 },
      { segment: 1, generation: 2 },
    ])
    await volume.freeSegment(0, 1)
    expect(disk.segments.has(0)).toBe(true)
    releaseOne()
    releaseOne()
    await volume.readRecord(at(locations, 0), { seq: 1 })
    expect(disk.segments.has(0)).toBe(true)
    releaseTwo()
    await volume.close()
    expect(disk.segments.has(0)).toBe(false)
  })

  it('does not happen any more when the last pin is released after closing', async () => {
    const { disk, volume, locations } = await sealedAndOpen()
    const release = volume.pin(at(locations, 0))
    await volume.freeSegment(0, 1)
    await volume.close()
    const { operations } = disk
    release()
    expect(seqsOf((await startVolume(disk)).replayed)).toEqual([1, 2, 3])
    expect(disk.operations).toBeGreaterThan(operations)
  })

  it('waits for a read that is under way', async () => {
    const { disk, volume, locations } = await sealedAndOpen()
    const reading = volume.readRecord(at(locations, 2), { seq: 3 })
    await volume.freeSegment(0, 1)
    expect((await reading).body.equals(contentOf(3, 100))).toBe(true)
    await volume.close()
    expect(disk.segments.has(0)).toBe(false)
  })

  it('never gives a generation twice, even if the newest segment was freed', async () => {
    const { disk, volume } = await sealedAndOpen()
    const { generation } = await volume.appendBulk(chunk(1))
    await volume.close()
    const { volume: second } = await startVolume(disk)
    const bulk = second.segments().find(({ stream }) => stream === 'bulk')
    await second.freeSegment(bulk?.segment ?? -1, generation)
    const seen = Math.max(generation, ...second.segments().map((info) => info.generation))
    await second.close()
    const { volume: third } = await startVolume(disk)
    expect(third.logPosition().generation).toBeGreaterThan(seen)
  })

  it('keeps the segment when its going cannot be noted, and can be tried again', async () => {
    const { disk, volume, locations } = await sealedAndOpen()
    disk.fail('superblock', 'EIO')
    await expect(volume.freeSegment(0, 1)).rejects.toThrow('EIO')
    await volume.readRecord(at(locations, 0), { seq: 1 })
    await volume.freeSegment(0, 1)
    expect(disk.segments.has(0)).toBe(false)
  })

  it('is finished by the next opening when the segment could not be removed', async () => {
    const { disk, volume } = await sealedAndOpen()
    disk.fail('remove', 'EIO')
    await expect(volume.freeSegment(0, 1)).rejects.toThrow('EIO')
    expect(disk.segments.has(0)).toBe(true)
    expect(volume.segments()).toHaveLength(1)
    await volume.close()
    const { volume: again, replayed } = await startVolume(disk)
    expect(replayed).toEqual([])
    expect(again.segments().every(({ generation }) => generation !== 1)).toBe(true)
  })

  it('waits for the segment before it while only its header says where that one ends', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    await volume.appendGroup(group(1))
    disk.fail('sync', 'EIO')
    await expect(volume.appendGroup(group(4))).rejects.toThrow()
    await volume.appendGroup(group(7))
    disk.fail('sync', 'EIO')
    await expect(volume.appendGroup(group(10))).rejects.toThrow()
    await volume.appendGroup(group(13))
    const [first, second] = volume.segments()
    if (first === undefined || second === undefined) throw new Error('two sealed segments')
    await volume.freeSegment(second.segment, second.generation)
    expect(disk.segments.has(second.segment)).toBe(true)
    await volume.freeSegment(first.segment, first.generation)
    expect(disk.segments.has(first.segment)).toBe(false)
    expect(disk.segments.has(second.segment)).toBe(false)
  })
})
