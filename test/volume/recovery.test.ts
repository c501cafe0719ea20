import { describe, expect, it } from 'vitest'
import { CorruptLogError, LostLogError } from '../../src/volume/format/errors.ts'
import type { LogPosition, Volume } from '../../src/volume/volume.ts'
import { FaultyDisk } from './faulty-disk.ts'
import {
  blockBytes,
  collect,
  contentOf,
  fillSegment,
  group,
  openVolume,
  record,
  recordingLogger,
  segmentBytes,
  seqsOf,
  startVolume,
} from './scenario.ts'

/** Three groups of three records, one block each, in segment 0; the process is gone without closing. */
async function threeGroups(): Promise<{
  readonly disk: FaultyDisk
  readonly volume: Volume
  readonly ends: readonly LogPosition[]
}> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk)
  const ends: LogPosition[] = []
  for (const first of [1, 4, 7]) {
    await volume.appendGroup(group(first))
    ends.push(volume.logPosition())
  }
  expect(ends.map(({ offset }) => offset)).toEqual([8192, 12288, 16384])
  return { disk, volume, ends }
}

/** Segment 0 full and sealed, a few groups in segment 1 behind it. */
async function twoSegments(): Promise<{
  readonly disk: FaultyDisk
  readonly lastSeq: number
  /** The superblock of before segment 1 was begun. */
  readonly superblock: Buffer | undefined
}> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk)
  const { superblock } = disk
  const next = await fillSegment(volume, 1)
  await volume.appendGroup(group(next))
  await volume.close()
  return { disk, lastSeq: next + 2, superblock }
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1)

describe('Recovery: an orderly log', () => {
  it('replays everything in order, with bodies that read back', async () => {
    const { disk } = await threeGroups()
    const { volume, replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual(upTo(9))
    expect(replayed[0]?.label.toString()).toBe('label of 1')
    expect(replayed[8]?.head.toString()).toBe('head of 9')
    for (const { location, seq } of replayed) {
      const { body } = await volume.readRecord(location, { seq })
      expect(body.equals(contentOf(seq, 100))).toBe(true)
    }
  })

  it('replays from any position that was handed out', async () => {
    const { disk, ends } = await threeGroups()
    for (const [index, from] of ends.entries()) {
      const volume = await openVolume(disk)
      const replayed = await collect(volume, from)
      expect(seqsOf(replayed)).toEqual(upTo(9).slice(3 * (index + 1)))
      await volume.close()
    }
  })

  it('gives all records of a group the same end, and replay from there continues behind it', async () => {
    const { disk, ends } = await threeGroups()
    const volume = await openVolume(disk)
    const replayed = await collect(volume)
    expect(replayed.map(({ groupEnd }) => groupEnd)).toEqual(
      replayed.map((_, i) => ends[Math.floor(i / 3)]),
    )
  })

  it('continues in a new segment, which later openings replay behind the old ones', async () => {
    const { disk } = await threeGroups()
    let lastSeq = 9
    for (let opening = 1; opening <= 4; opening++) {
      const { volume, replayed } = await startVolume(disk)
      expect(seqsOf(replayed)).toEqual(upTo(lastSeq))
      await volume.appendGroup(group(lastSeq + 1))
      lastSeq += 3
      await volume.close()
    }
    const generations = (await openVolume(disk)).segments().map(({ generation }) => generation)
    expect(generations).toEqual([1, 2, 3, 4, 5])
  })

  it('goes on from the end of a full segment to the next', async () => {
    const { disk, lastSeq } = await twoSegments()
    const { replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual(upTo(lastSeq))
    expect(new Set(replayed.map(({ location }) => location.segment)).size).toBe(2)
  })

  it('can be run twice before the volume is active', async () => {
    const { disk, ends } = await threeGroups()
    const volume = await openVolume(disk)
    expect(await collect(volume, ends[1])).toHaveLength(3)
    expect(await collect(volume)).toHaveLength(9)
    await volume.activate()
  })

  it('does not let a volume be active that was not replayed to its end', async () => {
    const { disk } = await threeGroups()
    const volume = await openVolume(disk)
    await expect(volume.activate()).rejects.toThrow('replayed to its end')
    for await (const _ of volume.replay(undefined)) break
    await expect(volume.activate()).rejects.toThrow('replayed to its end')
  })

  it('syncs a segment before it hands out anything of it', async () => {
    const { disk } = await threeGroups()
    const volume = await openVolume(disk)
    disk.trace.length = 0
    for await (const _ of volume.replay(undefined)) break
    expect(disk.trace[0]).toBe('sync')
  })
})

describe('Recovery: the tail', () => {
  it('passes over a torn last group', async () => {
    const { disk } = await threeGroups()
    disk.tamper(0, (bytes) => bytes.fill(0, 12288 + 100, 16384))
    const { replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual(upTo(6))
  })

  it('passes over a last group whose header never reached the disk', async () => {
    const { disk } = await threeGroups()
    disk.tamper(0, (bytes) => bytes.fill(0, 12288, 12288 + 512))
    const { replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual(upTo(6))
  })

  it('never returns to a torn group once the log went on', async () => {
    const { disk } = await threeGroups()
    let torn = Buffer.alloc(0)
    disk.tamper(0, (bytes) => {
      torn = Buffer.from(bytes.subarray(12288, 16384))
      bytes[12288 + 200] = (bytes[12288 + 200] ?? 0) ^ 1
    })
    const { volume } = await startVolume(disk)
    await volume.appendGroup(group(100))
    await volume.close()
    // Even if the group became whole again: its place is behind the declared end.
    const bytes = disk.segments.get(0)
    if (bytes === undefined) throw new Error('segment 0 is there')
    bytes.current = Buffer.concat([bytes.current, Buffer.alloc(segmentBytes)]).subarray(
      0,
      segmentBytes,
    )
    disk.tamper(0, (all) => torn.copy(all, 12288))
    const again = await startVolume(disk)
    expect(seqsOf(again.replayed)).toEqual([...upTo(6), 100, 101, 102])
  })

  it('finds a segment that was sealed, but whose successor was not begun, complete', async () => {
    const { disk, lastSeq, superblock } = await twoSegments()
    disk.segments.delete(1)
    disk.superblock = superblock
    const { volume, replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual(upTo(lastSeq - 6))
    expect(volume.segments().map(({ state }) => state)).toEqual(['sealed', 'open'])
  })

  it('takes a new segment whose header was torn for one that was never begun', async () => {
    const { disk, lastSeq, superblock } = await twoSegments()
    disk.superblock = superblock
    disk.tamper(1, (bytes) => {
      bytes.fill(0, 4096)
      bytes.fill(0, 30, 4096)
    })
    const logger = recordingLogger()
    const { replayed } = await startVolume(disk, { logger })
    expect(seqsOf(replayed)).toEqual(upTo(lastSeq - 6))
    expect(logger.messages).toContain('a segment whose first write was cut off is removed')
  })
})

describe('Recovery: damage is refused by name', () => {
  it.each([
    ['torn header', 8192, 8192 + 32],
    ['torn records', 8192 + 40, 8192 + 100],
    ['a whole block lost', 8192, 12288],
  ])('a group in the middle, a later group behind it: %s', async (_name, from, to) => {
    const { disk } = await threeGroups()
    disk.tamper(0, (bytes) => bytes.fill(0, from, to))
    const failure = await startVolume(disk).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CorruptLogError)
    expect((failure as CorruptLogError).facts).toMatchObject({
      segment: 0,
      generation: 1,
      offset: 8192,
    })
  })

  it('a group in the middle of a sealed segment', async () => {
    const { disk } = await twoSegments()
    disk.tamper(0, (bytes) => bytes.fill(0, 16384, 16400))
    await expect(startVolume(disk)).rejects.toThrow(CorruptLogError)
  })

  it('the first group, found from a later position too', async () => {
    const { disk, ends } = await threeGroups()
    disk.tamper(0, (bytes) => bytes.fill(0, 4096, 8192))
    await expect(startVolume(disk, { from: ends[1] as LogPosition })).rejects.toThrow(
      CorruptLogError,
    )
  })

  it('the only group before a footer', async () => {
    const { disk, superblock } = await twoSegments()
    disk.segments.delete(1)
    disk.superblock = superblock
    disk.tamper(0, (bytes) => bytes.fill(0, 4096, blockBytes + 32))
    await expect(startVolume(disk)).rejects.toThrow(CorruptLogError)
  })

  it('a seal that names another end than the groups have', async () => {
    const { disk } = await threeGroups()
    await (await startVolume(disk)).volume.close()
    // The footer goes, and so does the last group's place in the seal: 12288 instead of 16384.
    const { encodeSegmentHeader, decodeSegmentHeader } = await import(
      '../../src/volume/format/segment-header.ts'
    )
    disk.tamper(1, (bytes) => {
      const volumeId = Buffer.from(bytes.subarray(24, 40))
      const header = decodeSegmentHeader(bytes.subarray(0, 4096), { segment: 1, volumeId })
      if ('mismatch' in header || header.previous === undefined) throw new Error('no seal')
      const previous = { ...header.previous, validEnd: 12288 }
      encodeSegmentHeader({ ...header, previous }, volumeId).copy(bytes)
    })
    await expect(startVolume(disk)).rejects.toThrow(/names? .*12288|seals it at 12288/)
  })

  it('a header that rotted, with groups behind it', async () => {
    const { disk } = await threeGroups()
    disk.tamper(0, (bytes) => bytes.fill(1, 10, 60))
    await expect(openVolume(disk)).rejects.toThrow(CorruptLogError)
  })

  it('a segment of another volume', async () => {
    const { disk } = await threeGroups()
    const other = new FaultyDisk()
    const { seededRandom } = await import('../../src/base/random.ts')
    await (await startVolume(other, { random: seededRandom(8) })).volume.close()
    const foreign = other.segments.get(0)
    if (foreign === undefined) throw new Error('segment 0 is there')
    disk.segments.set(1, {
      ...foreign,
      current: Buffer.concat([foreign.current.subarray(0, 4096), Buffer.alloc(4096, 1)]),
    })
    await expect(openVolume(disk)).rejects.toThrow(/belongs to volume/)
  })

  it('a segment under another number', async () => {
    const { disk } = await threeGroups()
    const moved = disk.segments.get(0)
    if (moved === undefined) throw new Error('segment 0 is there')
    disk.segments.delete(0)
    disk.segments.set(5, moved)
    await expect(openVolume(disk)).rejects.toThrow(/says that it is segment 0/)
  })
})

describe('Recovery: loss is refused by name', () => {
  it('a log that ends before the position from which it is needed', async () => {
    const { disk, ends } = await threeGroups()
    disk.tamper(0, (bytes) => bytes.fill(0, 8192))
    await expect(startVolume(disk, { from: ends[2] as LogPosition })).rejects.toThrow(LostLogError)
  })

  it('a log that ends before its seal', async () => {
    const { disk } = await threeGroups()
    await (await startVolume(disk)).volume.close()
    disk.tamper(0, (bytes) => bytes.fill(0, 8192, 16384))
    await expect(startVolume(disk)).rejects.toThrow(LostLogError)
  })

  it('the segment from which the log is needed', async () => {
    const { disk, lastSeq } = await twoSegments()
    expect(lastSeq).toBeGreaterThan(6)
    const volume = await openVolume(disk)
    await collect(volume)
    const position = { segment: 9, generation: 77, offset: 8192 }
    await expect(collect(volume, position)).rejects.toThrow(LostLogError)
  })

  it('a segment in the middle', async () => {
    const { disk } = await threeGroups()
    for (const first of [10, 20]) {
      const { volume } = await startVolume(disk)
      await volume.appendGroup(group(first))
      await volume.close()
    }
    disk.segments.delete(1)
    await expect(openVolume(disk)).rejects.toThrow(/segment 1 of generation 2/)
  })

  it('a segment from before the last one that was freed', async () => {
    const { disk } = await threeGroups()
    for (const first of [10, 20, 30]) {
      const { volume } = await startVolume(disk)
      await volume.appendGroup(group(first))
      await volume.close()
    }
    const { volume } = await startVolume(disk)
    await volume.freeSegment(1, 2)
    await volume.close()
    const intact = await startVolume(disk)
    expect(seqsOf(intact.replayed)).toEqual([...upTo(9), 20, 21, 22, 30, 31, 32])
    await intact.volume.close()
    disk.segments.delete(0)
    await expect(openVolume(disk)).rejects.toThrow(LostLogError)
  })

  it('all segments, of a volume that was active once', async () => {
    const disk = new FaultyDisk()
    await startVolume(disk)
    disk.segments.clear()
    await expect(openVolume(disk)).rejects.toThrow(LostLogError)
    await expect(openVolume(disk)).rejects.toThrow(/segment 0 of generation 1 is not there/)
  })

  it('the newest segment, begun by an opening', async () => {
    const { disk } = await threeGroups()
    const { volume } = await startVolume(disk)
    await volume.appendGroup(group(10))
    const killed = disk.afterKill()
    killed.segments.delete(1)
    await expect(openVolume(killed)).rejects.toThrow(/segment 1 of generation 2 is not there/)
  })

  it('the newest segment, begun when the one before was full', async () => {
    const { disk } = await twoSegments()
    disk.segments.delete(1)
    await expect(openVolume(disk)).rejects.toThrow(/segment 1 of generation 2 is not there/)
  })

  it('the newest segment, begun when the one before was full, after a kill', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    await volume.appendGroup(group(await fillSegment(volume, 1)))
    const killed = disk.afterKill()
    const { segment } = volume.logPosition()
    killed.segments.delete(segment)
    await expect(openVolume(killed)).rejects.toThrow(LostLogError)
  })

  it('the newest segment, all zeros', async () => {
    const { disk } = await twoSegments()
    disk.tamper(1, (bytes) => bytes.fill(0))
    await expect(openVolume(disk)).rejects.toThrow(LostLogError)
    expect([...disk.segments.keys()]).toContain(1)
  })

  it('the last groups of a log that was closed in order', async () => {
    const { disk, volume } = await threeGroups()
    await volume.close()
    disk.tamper(0, (bytes) => bytes.fill(0, 12288))
    await expect(startVolume(disk)).rejects.toThrow(
      /ends at 12288, before 16384, where it ended when the volume was closed/,
    )
  })

  it('the segments of the log, also when the superblock could not be written in between', async () => {
    const disk = new FaultyDisk()
    const logger = recordingLogger()
    await openVolume(disk)
    disk.fail('superblock', 'EIO', { times: 2 })
    const { volume } = await startVolume(disk, { logger })
    expect(logger.messages).toContain('the register of segments was not written')
    await volume.appendGroup(group(1))
    await volume.close()
    disk.segments.clear()
    await expect(openVolume(disk)).rejects.toThrow(LostLogError)
  })

  it('the end of the newest segment, cut off', async () => {
    const { disk } = await threeGroups()
    const stored = disk.segments.get(0)
    if (stored === undefined) throw new Error('segment 0 is there')
    stored.current = stored.current.subarray(0, 12288)
    await expect(startVolume(disk)).rejects.toThrow(LostLogError)
  })

  it('accepts a position whose segment was freed when nothing lay behind it', async () => {
    const { disk } = await threeGroups()
    const first = await startVolume(disk)
    const from = { segment: 0, generation: 1, offset: 16384 }
    await first.volume.appendGroup(group(10))
    await first.volume.freeSegment(0, 1)
    await first.volume.close()
    const { volume, replayed } = await startVolume(disk, { from })
    expect(seqsOf(replayed)).toEqual([10, 11, 12])
    await volume.close()
    const earlier = { ...from, offset: 12288 }
    await expect(startVolume(disk, { from: earlier })).rejects.toThrow(LostLogError)
  })
})

describe('Recovery: bytes that only look like a log', () => {
  it('never takes a copy of a segment inside of an object for groups', async () => {
    const { disk, volume } = await threeGroups()
    const copy = Buffer.from(disk.segments.get(0)?.current.subarray(4096, 4096 + 8192) ?? [])
    // The copy's groups begin at a block of the segment, as real ones do.
    const bare = { kind: 1, seq: 50, label: Buffer.alloc(0), head: Buffer.alloc(0) }
    const headers = 32 + 2 * (24 + 4 + 4)
    await volume.appendGroup([
      { ...bare, body: [Buffer.alloc(blockBytes - headers)] },
      { ...bare, body: [copy.subarray(0, blockBytes)] },
    ])
    expect(
      disk.segments
        .get(0)
        ?.current.subarray(16384 + 4096, 16384 + 4100)
        .toString(),
    ).toBe('CGRP')
    // The group that holds the copy is torn: only the look-alike is left of it.
    disk.tamper(0, (bytes) => bytes.fill(0, 16384, 16384 + 512))
    const { replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual(upTo(9))
  })

  it('never takes the bytes of an earlier use of a segment for groups', async () => {
    const { disk } = await threeGroups()
    const old = Buffer.from(disk.segments.get(0)?.current.subarray(8192, 16384) ?? [])
    const first = await startVolume(disk)
    await first.volume.appendGroup(group(10))
    await first.volume.freeSegment(0, 1)
    await first.volume.close()
    const { volume } = await startVolume(disk)
    expect(volume.logPosition()).toMatchObject({ segment: 0, generation: 3 })
    await volume.appendGroup([record(20)])
    await volume.close()
    // As a device that recycles segments would leave it.
    disk.tamper(0, (bytes) => old.copy(bytes, 8192))
    const { replayed } = await startVolume(disk)
    expect(seqsOf(replayed)).toEqual([10, 11, 12, 20])
  })
})
