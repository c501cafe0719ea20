import { describe, expect, it } from 'vitest'
import {
  CapacityTooSmallError,
  GroupWriteError,
  VolumeFullError,
} from '../../src/volume/format/errors.ts'
import type { Location, Volume } from '../../src/volume/volume.ts'
import { FaultyDisk } from './faulty-disk.ts'
import {
  blockBytes,
  chunk,
  collect,
  group,
  openVolume,
  recordingLogger,
  segmentBytes,
  seqsOf,
  startVolume,
  stillClock,
} from './scenario.ts'

const ordinary = { essential: false }
const essential = { essential: true }

/** Ordinary writes until there is no room for another one. */
async function writeUntilFull(
  volume: Volume,
  from = 1,
): Promise<{ next: number; locations: Location[] }> {
  const locations: Location[] = []
  let seq = from
  while (volume.isRoomFor(3000, ordinary)) {
    locations.push(...(await volume.appendGroup(group(seq, 1, 3000))))
    seq++
  }
  return { next: seq, locations }
}

describe('Capacity', () => {
  it('too small to work with is refused when the volume is made', async () => {
    const disk = new FaultyDisk()
    const capacityBytes = 4 * segmentBytes
    await expect(openVolume(disk, { capacityBytes })).rejects.toThrow(CapacityTooSmallError)
    expect(disk.superblock).toBeUndefined()
  })

  it('is what was given, or what the disk has', async () => {
    const disk = new FaultyDisk({ capacityBytes: 100 * segmentBytes })
    const { volume } = await startVolume(disk)
    expect(volume.usage()).toMatchObject({ capacityBytes: 100 * segmentBytes, writable: true })
    await volume.close()
    const given = await startVolume(disk, { capacityBytes: 20 * segmentBytes })
    expect(given.volume.usage().capacityBytes).toBe(20 * segmentBytes)
  })

  it('is never exceeded by ordinary writes, which leave two segments', async () => {
    const disk = new FaultyDisk()
    const capacityBytes = 10 * segmentBytes
    const { volume } = await startVolume(disk, { capacityBytes })
    await writeUntilFull(volume)
    expect(volume.usage().writable).toBe(false)
    expect(volume.isRoomFor(100, essential)).toBe(true)
    await volume.close()
    let stored = 0
    for (const { current } of disk.segments.values()) stored += current.length
    expect(stored).toBeLessThanOrEqual(capacityBytes)
    // What was made ahead belongs to the reserve.
    expect(volume.usage().usedBytes).toBeLessThanOrEqual(capacityBytes - segmentBytes)
  })

  it('reached: essential writes go on through the reserve, and then the volume is full', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk, { capacityBytes: 8 * segmentBytes })
    const { next, locations } = await writeUntilFull(volume)
    let seq = next
    for (;;) {
      const appended = await volume
        .appendGroup(group(seq, 1, 2000))
        .catch((error: unknown) => error)
      if (appended instanceof Error) {
        expect(appended).toBeInstanceOf(VolumeFullError)
        break
      }
      seq++
    }
    expect((seq - next) * 4096).toBeGreaterThan(1.5 * segmentBytes)
    expect(volume.isRoomFor(2000, essential)).toBe(false)
    expect(volume.health().writable).toBe(true)
    await volume.readRecord(locations[0] as Location, { seq: 1 })
    await expect(volume.appendGroup(group(seq, 1, 2000))).rejects.toThrow(VolumeFullError)
    await volume.close()
    const again = await openVolume(disk, { capacityBytes: 8 * segmentBytes })
    const replayed = seqsOf(await collect(again))
    expect(replayed).toEqual(Array.from({ length: seq - 1 }, (_, i) => i + 1))
  })

  it('reached: a freed segment makes it writable again', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk, { capacityBytes: 8 * segmentBytes })
    const { next } = await writeUntilFull(volume)
    expect(volume.usage().writable).toBe(false)
    const [oldest] = volume.segments()
    await volume.freeSegment(oldest?.segment ?? -1, oldest?.generation ?? -1)
    expect(volume.usage().writable).toBe(true)
    const more = await writeUntilFull(volume, next)
    expect(more.next).toBeGreaterThan(next)
  })

  it('reached: bulk leaves the reserve to the log, whatever was promised before', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk, { capacityBytes: 8 * segmentBytes })
    let failure: unknown
    for (let index = 0; failure === undefined; index++) {
      await volume.appendBulk(chunk(index, 8000)).catch((error: unknown) => {
        failure = error
      })
    }
    expect(failure).toBeInstanceOf(VolumeFullError)
    expect(volume.isRoomFor(segmentBytes, ordinary)).toBe(false)
    for (let seq = 1; seq < 60; seq += 3) await volume.appendGroup(group(seq, 3, 1000))
  })

  it('used up: copies of chunks get one segment beyond it, and nothing else does', async () => {
    const disk = new FaultyDisk()
    const capacityBytes = 8 * segmentBytes
    const { volume } = await startVolume(disk, { capacityBytes })
    let seq = 1
    const appendUntilFull = async (append: () => Promise<unknown>): Promise<void> => {
      for (;;) {
        const failure = await append().then(
          () => undefined,
          (error: unknown) => error,
        )
        if (failure === undefined) continue
        expect(failure).toBeInstanceOf(VolumeFullError)
        return
      }
    }
    await appendUntilFull(() => volume.appendGroup(group(seq++, 1, 2000)))
    expect(volume.isRoomBeyond(5000)).toBe(true)
    expect(volume.isRoomBeyond(segmentBytes)).toBe(false)
    await expect(volume.appendBulk(chunk(0))).rejects.toThrow(VolumeFullError)
    await volume.appendBulk(chunk(0), { isCopy: true })
    expect(volume.usage().usedBytes).toBeGreaterThan(capacityBytes)
    expect(volume.usage().usedBytes).toBeLessThanOrEqual(capacityBytes + segmentBytes)
    await appendUntilFull(() => volume.appendBulk(chunk(1), { isCopy: true }))
    expect(volume.isRoomBeyond(5000)).toBe(false)
    expect(volume.usage().usedBytes).toBeLessThanOrEqual(capacityBytes + segmentBytes)
  })

  it('counts large writes against all free segments', async () => {
    const { volume } = await startVolume(new FaultyDisk(), { capacityBytes: 12 * segmentBytes })
    expect(volume.isRoomFor(7 * segmentBytes, ordinary)).toBe(true)
    expect(volume.isRoomFor(9 * segmentBytes, ordinary)).toBe(false)
    expect(volume.isRoomFor(9 * segmentBytes, essential)).toBe(true)
    expect(volume.isRoomFor(12 * segmentBytes, essential)).toBe(false)
  })
})

describe('A volume that is nearly full', () => {
  it('says which objects it has no room for, while small ones still fit', async () => {
    const { volume } = await startVolume(new FaultyDisk(), { capacityBytes: 8 * segmentBytes })
    expect(volume.health()).toEqual({ writable: true, reason: undefined, warnings: [] })
    expect(volume.largestLastWrite).toBeUndefined()
    for (let index = 0; volume.isRoomFor(8000, ordinary); index++) {
      await volume.appendBulk(chunk(index, 8000))
    }
    expect(volume.usage().writable).toBe(true)
    expect(volume.largestLastWrite).toBeGreaterThanOrEqual(volume.limits.inlineBytesMax)
    expect(volume.largestLastWrite).toBeLessThan(8000)
    const free = async (): Promise<void> => {
      const [oldest] = volume.segments().filter(({ state }) => state === 'sealed')
      await volume.freeSegment(oldest?.segment ?? -1, oldest?.generation ?? -1)
    }
    await free()
    // One segment is left beyond the reserve, and what the open one has.
    const largest = volume.largestLastWrite ?? 0
    expect(largest).toBeGreaterThan(segmentBytes / 2)
    expect(volume.isRoomFor((largest * 8) / 7, { ...ordinary, stream: 'bulk' })).toBe(true)
    expect(volume.isRoomFor((largest * 5) / 4, { ...ordinary, stream: 'bulk' })).toBe(false)
    await free()
    expect(volume.largestLastWrite).toBeUndefined()
  })

  it('says nothing of it once it is full: that is said elsewhere', async () => {
    const { volume } = await startVolume(new FaultyDisk(), { capacityBytes: 8 * segmentBytes })
    await writeUntilFull(volume)
    while (volume.isRoomFor(1, ordinary)) await volume.appendGroup(group(1, 1, 0))
    expect(volume.largestLastWrite).toBeUndefined()
  })
})

describe('A full disk', () => {
  it('does not keep the volume from being opened and read, and written when there is room', async () => {
    const disk = new FaultyDisk({ capacityBytes: 12 * segmentBytes })
    const { volume } = await startVolume(disk)
    const [kept] = await volume.appendGroup(group(1, 1))
    await volume.close()
    disk.capacityBytes = 0
    let now = 0
    const clock = { ...stillClock, monotonic: () => now }
    const logger = recordingLogger()
    const again = (await startVolume(disk, { clock, logger })).volume
    expect(logger.messages).toContain('the volume is full and can only be read')
    expect(again.logPosition()).toMatchObject({ segment: 0, offset: 8192 })
    await again.readRecord(kept as Location, { seq: 1 })
    expect(again.usage().writable).toBe(false)
    await expect(again.appendGroup(group(2, 1))).rejects.toThrow(VolumeFullError)
    disk.capacityBytes = 12 * segmentBytes
    now += 2000
    await again.appendGroup(group(2, 1))
    await again.close()
    expect(seqsOf((await startVolume(disk)).replayed)).toEqual([1, 2])
  })

  it('is a full volume, without harm, and writes again when there is room', async () => {
    const disk = new FaultyDisk({ capacityBytes: 12 * segmentBytes })
    let now = 0
    const clock = { ...stillClock, monotonic: () => now }
    const { volume } = await startVolume(disk, { clock, logger: recordingLogger() })
    disk.capacityBytes = 2 * segmentBytes
    let seq = 1
    let failure: unknown
    while (failure === undefined) {
      await volume.appendGroup(group(seq, 3, 3000)).then(
        () => {
          seq += 3
        },
        (error: unknown) => {
          failure = error
        },
      )
    }
    expect(failure).toBeInstanceOf(VolumeFullError)
    expect(volume.isRoomFor(100, ordinary)).toBe(false)
    disk.capacityBytes = 12 * segmentBytes
    now += 2000
    await volume.appendGroup(group(seq, 3, 3000))
    now += 2000
    volume.isRoomFor(100, ordinary)
    await volume.appendGroup(group(seq + 3, 1))
    expect(volume.isRoomFor(100, ordinary)).toBe(true)
    const replayed = seqsOf((await startVolume(disk)).replayed)
    expect(replayed).toEqual(Array.from({ length: seq + 3 }, (_, i) => i + 1))
  })

  it.each([
    ['the write of a group', 'write', 0],
    ['the sync of a group', 'sync', 0],
  ] as const)('met by %s is full, and no trouble', async (_name, operation, after) => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    await volume.appendGroup(group(1, 1))
    disk.fail(operation, 'ENOSPC', { after })
    await expect(volume.appendGroup(group(2, 1))).rejects.toThrow(VolumeFullError)
    await volume.appendGroup(group(3, 1))
    expect(seqsOf((await startVolume(disk)).replayed)).toEqual([1, 3])
  })

  it('met again and again, by groups and by the headers that void them, ends nothing', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk, { logger: recordingLogger() })
    await volume.appendGroup(group(1, 1))
    disk.fail('write', 'ENOSPC', { times: 6 })
    disk.fail('create', 'EDQUOT', { after: 2, times: 1 })
    for (let seq = 2; seq < 8; seq++) {
      await expect(volume.appendGroup(group(seq, 1))).rejects.toThrow(VolumeFullError)
    }
    while (disk.faults.length > 0) {
      await expect(volume.appendGroup(group(8, 1))).rejects.toThrow(VolumeFullError)
    }
    expect(volume.health().writable).toBe(true)
    await volume.appendGroup(group(9, 1))
    await volume.close()
    expect(seqsOf((await startVolume(disk)).replayed)).toEqual([1, 9])
  })

  it('met by a chunk is full for that chunk', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    await volume.appendBulk(chunk(1))
    disk.fail('write', 'ENOSPC')
    await expect(volume.appendBulk(chunk(2))).rejects.toThrow(VolumeFullError)
    const location = await volume.appendBulk(chunk(3))
    await volume.readRecord(location, { seq: 0 })
  })

  it('that cannot make a segment for another reason fails the group, not the volume', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    await volume.appendBulk(chunk(1))
    disk.fail('create', 'EIO', { times: 2 })
    let seq = 1
    let failure: unknown
    while (failure === undefined) {
      await volume.appendGroup(group(seq, 3, 3000)).then(
        () => {
          seq += 3
        },
        (error: unknown) => {
          failure = error
        },
      )
    }
    expect(failure).toBeInstanceOf(GroupWriteError)
    await volume.appendGroup(group(seq, 3, 3000))
    expect(volume.health().writable).toBe(true)
  })
})

describe('A volume that is killed again and again while it is full', () => {
  it('can be written each time, in a segment beyond its capacity if need be', async () => {
    const disk = new FaultyDisk()
    const capacityBytes = 6 * segmentBytes
    let seq = 1
    for (let life = 0; life < 12; life++) {
      const { volume } = await startVolume(disk, { capacityBytes })
      await volume.appendGroup(group(seq++, 1, 100))
      const fill = async (): Promise<void> => {
        for (;;) {
          await volume.appendGroup(group(seq, 3, 4000))
          seq += 3
        }
      }
      if (life === 0) await expect(fill()).rejects.toThrow('full')
      // Each life leaves the blocks that it has written: header, group, footer.
      const left = capacityBytes + segmentBytes + life * 3 * blockBytes
      expect(volume.usage().usedBytes).toBeLessThanOrEqual(left)
    }
  })
})

describe('The segment made ahead', () => {
  it('is there before the open one is full, so that no group waits for its zeros', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    let seq = 1
    while (volume.logPosition().offset < segmentBytes / 2) {
      await volume.appendGroup(group(seq, 3, 3000))
      seq += 3
    }
    expect(disk.segments.size).toBe(2)
    disk.trace.length = 0
    while (volume.logPosition().segment === 0) {
      disk.trace.length = 0
      await volume.appendGroup(group(seq, 3, 3000))
      seq += 3
    }
    // Footer, header, group: each written and synced; nothing is created in between.
    expect(disk.trace.slice(0, 4)).toEqual(['write', 'sync', 'write', 'sync'])
    expect(disk.trace.slice(0, disk.trace.lastIndexOf('write'))).not.toContain('create')
  })

  it('is used by the next opening when it was left unused', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    await volume.appendGroup(group(1, 3, 4000))
    await volume.appendGroup(group(4, 3, 4000))
    await volume.close()
    expect([...disk.segments.keys()]).toEqual([0, 1])
    disk.trace.length = 0
    const again = await startVolume(disk)
    expect(again.volume.logPosition().segment).toBe(1)
    expect(disk.trace).not.toContain('create')
  })
})
