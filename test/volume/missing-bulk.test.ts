import { describe, expect, it } from 'vitest'
import { CorruptRecordError, StaleLocationError } from '../../src/volume/format/errors.ts'
import type { SegmentCensus } from '../../src/volume/format/segment-census.ts'
import { decodeSuperblock, encodeSuperblock } from '../../src/volume/format/superblock.ts'
import { MissingSegments } from '../../src/volume/segments/missing-segments.ts'
import type { Location, Volume } from '../../src/volume/volume.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { chunk, group, recordingLogger, seqsOf, startVolume } from './scenario.ts'

interface Written {
  readonly disk: FaultyDisk
  readonly chunks: readonly Location[]
  /** The bulk segments' slots in the order in which they were begun. */
  readonly slots: readonly number[]
}

/** A group in the log, and chunks in four bulk segments or so; the volume is closed. */
async function written(): Promise<Written> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk)
  await volume.appendGroup(group(1))
  const chunks = await appendChunks(volume, 25)
  await volume.close()
  const slots = [...new Set(chunks.map(({ segment }) => segment))]
  expect(slots.length).toBeGreaterThan(3)
  return { disk, chunks, slots }
}

async function appendChunks(volume: Volume, count: number): Promise<Location[]> {
  const locations: Location[] = []
  for (let index = 0; index < count; index++) {
    locations.push(await volume.appendBulk(chunk(index, 8000)))
  }
  return locations
}

/** What reading every chunk comes to: `read`, or why not. */
async function readAll(volume: Volume, chunks: readonly Location[]): Promise<string[]> {
  return await Promise.all(
    chunks.map((location) =>
      volume.readRecord(location, { seq: 0 }).then(
        () => 'read',
        (error: unknown) => (error instanceof CorruptRecordError ? error.message : String(error)),
      ),
    ),
  )
}

describe('A missing bulk segment', () => {
  it.each([
    ['the oldest', 0],
    ['one in the middle', 1],
    ['the newest', -1],
  ])('is named, by logger, health and readers: %s', async (_name, at) => {
    const { disk, chunks, slots } = await written()
    const slot = slots.at(at) ?? -1
    disk.segments.delete(slot)
    const logger = recordingLogger()
    const { volume, replayed } = await startVolume(disk, { logger })
    expect(seqsOf(replayed)).toEqual([1, 2, 3])
    const { generation } = chunks.find(({ segment }) => segment === slot) as Location
    const name = `segment ${slot} of generation ${generation}`
    expect(logger.messages.join()).toContain(`${name} is missing`)
    const health = volume.health()
    expect(health.writable).toBe(true)
    expect(health.reason).toContain(name)
    expect(health.warnings).toEqual([health.reason])
    const results = await readAll(volume, chunks)
    for (const [index, { segment }] of chunks.entries()) {
      if (segment === slot) expect(results[index]).toContain(`segment ${slot} is missing`)
      else expect(results[index]).toBe('read')
    }
    expect(() => volume.pin({ segment: slot, generation })).toThrow(CorruptRecordError)
  })

  it('keeps its slot, and is missing to every later opening', async () => {
    const { disk, chunks, slots } = await written()
    const slot = slots[1] ?? -1
    const file = disk.segments.get(slot)
    disk.segments.delete(slot)
    const first = (await startVolume(disk)).volume
    const more = await appendChunks(first, 25)
    expect(more.map(({ segment }) => segment)).not.toContain(slot)
    const [old] = first.segments()
    await first.freeSegment(old?.segment ?? -1, old?.generation ?? -1)
    await first.close()
    expect(disk.segments.has(slot)).toBe(false)
    const second = (await startVolume(disk)).volume
    expect(second.health().reason).toContain(`segment ${slot} `)
    await second.close()
    if (file !== undefined) disk.segments.set(slot, file)
    const third = (await startVolume(disk)).volume
    expect(third.health()).toEqual({ writable: true, reason: undefined, warnings: [] })
    expect(new Set(await readAll(third, [...chunks, ...more]))).toEqual(new Set(['read']))
  })

  it('that was replaced by zeros is not taken for one that was made ahead', async () => {
    const { disk, slots } = await written()
    const slot = slots[0] ?? -1
    disk.tamper(slot, (bytes) => bytes.fill(0))
    const { volume } = await startVolume(disk)
    expect(volume.health().reason).toContain(`segment ${slot} `)
    const more = await appendChunks(volume, 25)
    expect(more.map(({ segment }) => segment)).not.toContain(slot)
    expect(disk.segments.has(slot)).toBe(true)
  })

  it('is no reason to call a freed one missing', async () => {
    const { disk, chunks, slots } = await written()
    disk.segments.delete(slots[0] ?? -1)
    const { volume } = await startVolume(disk)
    const freed = chunks.find(({ segment }) => segment === slots[1]) as Location
    await volume.freeSegment(freed.segment, freed.generation)
    await expect(volume.readRecord(freed, { seq: 0 })).rejects.toThrow(StaleLocationError)
  })

  it('that no register names is known by count: its readers are told, its slot is kept', async () => {
    const { disk, chunks, slots } = await written()
    const superblock = decodeSuperblock(disk.superblock ?? Buffer.alloc(0), 'disk')
    disk.superblock = encodeSuperblock({ ...superblock, register: [] })
    const slot = slots[1] ?? -1
    disk.segments.delete(slot)
    for (let opening = 0; opening < 2; opening++) {
      const { volume } = await startVolume(disk)
      expect(volume.health().reason).toContain('1 more')
      const results = await readAll(volume, chunks)
      for (const [index, { segment }] of chunks.entries()) {
        if (segment === slot) expect(results[index]).toContain(`segment ${slot} is missing`)
        else expect(results[index]).toBe('read')
      }
      const more = await appendChunks(volume, 10)
      expect(more.map(({ segment }) => segment)).not.toContain(slot)
      await volume.close()
    }
  })
})

describe('The description of what is missing', () => {
  it('names a few and counts the rest', () => {
    const missing = new MissingSegments()
    expect(missing.describe()).toBeUndefined()
    for (let segment = 0; segment < 10; segment++) missing.add({ segment, generation: segment + 1 })
    const census: SegmentCensus = { count: 3, digest: 7 }
    missing.addUnnamed({ census, through: 20, found: new Set(), slotsEnd: 50 })
    expect(missing.describe()).toContain('segment 7 of generation 8, 5 more)')
    expect(missing.census.count).toBe(13)
    expect(missing.slotsEnd).toBe(50)
  })
})
