/** What a thread without the volume reads in its segments: the record that it asked for, or nothing. */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { RecordView } from '../../src/volume/read/record-view.ts'
import type { Location, SegmentUse, Volume } from '../../src/volume/volume.ts'
import { chunk, contentOf, fillSegment, group, startVolume, stillClock } from './scenario.ts'

let folder: string
let device: DirectoryDevice
let volume: Volume
let view: RecordView
let asked: SegmentUse[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-view-'))
  device = await DirectoryDevice.open(folder)
  ;({ volume } = await startVolume(device, { onFreed: (segment) => view.freed(segment) }))
  asked = []
  view = new RecordView({
    ...{ volumeId: volume.identity.volumeId, clock: stillClock, diskReads: () => 0 },
    ask: (use) => asked.push(use),
  })
})
afterEach(async () => {
  view.close()
  await volume.close()
  await device.close()
  await rm(folder, { recursive: true })
})

async function write(seq: number): Promise<Location> {
  const [location] = await volume.appendGroup(group(seq, 1))
  if (location === undefined) throw new Error('nothing was written')
  return location
}

/** Answers everything that was asked for. */
function answer(): void {
  for (const use of asked.splice(0)) view.opened(use, volume.placeOf(use))
}

async function spoil({ segment, offset }: Location): Promise<void> {
  const place = device.placeOf(segment)
  const file = await open(place.path, 'r+')
  try {
    await file.write(Buffer.from('spoilt'), 0, 6, place.at + offset + 4)
  } finally {
    await file.close()
  }
}

it('reads what it was told the place of, and asks for that once', async () => {
  const [first, second] = [await write(1), await write(2)]
  expect(view.readRecordNow(first, { seq: 1 })).toBeUndefined()
  expect(view.readRecordNow(second, { seq: 2 })).toBeUndefined()
  expect(asked).toHaveLength(1)
  answer()
  expect(view.readRecordNow(first, { seq: 1 })?.body).toEqual(contentOf(1, 100))
  expect(view.readRecordNow(second, { seq: 2 })?.body).toEqual(contentOf(2, 100))
})

it('reads a chunk, up to the largest one, and nothing of it once it is damaged', async () => {
  const { chunkBytes } = volume.limits
  const place = await volume.appendBulk(chunk(1, chunkBytes))
  view.readRecordNow(place)
  answer()
  expect(view.readRecordNow(place)?.body).toEqual(contentOf(1, chunkBytes))
  expect(view.readRecordNow({ ...place, bodyLength: chunkBytes - 1 })).toBeUndefined()
  await spoil({ ...place, offset: place.offset + chunkBytes })
  expect(view.readRecordNow(place)).toBeUndefined()
})

it('gives nothing for another record than the one that is asked for', async () => {
  const first = await write(1)
  view.readRecordNow(first, { seq: 1 })
  answer()
  expect(view.readRecordNow(first, { seq: 2 })).toBeUndefined()
})

it('gives nothing that somebody has written over', async () => {
  const first = await write(1)
  view.readRecordNow(first, { seq: 1 })
  answer()
  expect(view.readRecordNow(first, { seq: 1 })).toBeDefined()
  await spoil(first)
  expect(view.readRecordNow(first, { seq: 1 })).toBeUndefined()
})

it('lets go of a segment that is freed, and asks for the next one in its place', async () => {
  const first = await write(1)
  view.readRecordNow(first, { seq: 1 })
  answer()
  expect(view.open).toBe(1)
  await fillSegment(volume, 2)
  await volume.freeSegment(first.segment, first.generation)
  expect(view.open).toBe(0)
  expect(view.readRecordNow(first, { seq: 1 })).toBeUndefined()
  answer()
  expect(view.open).toBe(0)
})

it('gives nothing of a generation that is gone, however newly it was asked for', async () => {
  const first = await write(1)
  const later = { ...first, generation: first.generation + 1 }
  view.readRecordNow(first, { seq: 1 })
  answer()
  expect(view.readRecordNow(later, { seq: 1 })).toBeUndefined()
  expect(view.readRecordNow(later, { seq: 1 })).toBeUndefined()
  answer()
  expect(view.readRecordNow(later, { seq: 1 })).toBeUndefined()
})

it('keeps 512 segments open and no more, those that were read last', async () => {
  const use = await write(1)
  view.readRecordNow(use, { seq: 1 })
  answer()
  for (let segment = 1000; segment < 1700; segment++) {
    expect(view.readRecordNow(use, { seq: 1 })).toBeDefined()
    view.readRecordNow({ ...use, segment }, { seq: 1 })
    for (const one of asked.splice(0)) view.opened(one, volume.placeOf(use))
  }
  expect(view.open).toBe(512)
})
