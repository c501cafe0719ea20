import { describe, expect, it, vi } from 'vitest'
import {
  CorruptRecordError,
  GroupWriteError,
  StaleLocationError,
  VolumeReadOnlyError,
} from '../../src/volume/format/errors.ts'
import {
  decodeFooterEntries,
  decodeFooterHeader,
  decodeTrailer,
} from '../../src/volume/format/footer.ts'
import { SegmentSeed } from '../../src/volume/format/segment-seed.ts'
import type { Location, Volume } from '../../src/volume/volume.ts'
import { FaultyDisk } from './faulty-disk.ts'
import {
  blockBytes,
  chunk,
  contentOf,
  fillSegment,
  group,
  record,
  seqsOf,
  startVolume,
} from './scenario.ts'

async function started(): Promise<{ readonly disk: FaultyDisk; readonly volume: Volume }> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk)
  return { disk, volume }
}

async function replayedSeqs(disk: FaultyDisk): Promise<number[]> {
  return seqsOf((await startVolume(disk)).replayed)
}

async function readable(volume: Volume, location: Location, seq: number): Promise<boolean> {
  const { body } = await volume.readRecord(location, { seq })
  return body.equals(contentOf(seq, body.length))
}

describe('Appending a group', () => {
  it('is one write and one sync', async () => {
    const { disk, volume } = await started()
    disk.trace.length = 0
    await volume.appendGroup(group(1, 5, 500))
    expect(disk.trace).toEqual(['write', 'sync'])
  })

  it('moves the log position to its end, a multiple of a block', async () => {
    const { volume } = await started()
    const before = volume.logPosition()
    await volume.appendGroup(group(1))
    expect(volume.logPosition()).toEqual({ ...before, offset: before.offset + blockBytes })
  })

  it('never overlaps another', async () => {
    const { volume } = await started()
    const first = volume.appendGroup(group(1))
    await expect(volume.appendGroup(group(4))).rejects.toThrow('overlap')
    await first
  })

  it('refuses what would not read back', async () => {
    const { volume } = await started()
    const { inlineBytesMax, labelBytesMax, headBytesMax } = volume.limits
    const good = record(1)
    const bad = [
      { ...good, kind: 0 },
      { ...good, kind: 256 },
      { ...good, body: [Buffer.alloc(inlineBytesMax + 1)] },
      { ...good, label: Buffer.alloc(labelBytesMax + 1) },
      { ...good, head: Buffer.alloc(headBytesMax + 1) },
    ]
    for (const one of bad) await expect(volume.appendGroup([one])).rejects.toThrow()
    await expect(volume.appendGroup([])).rejects.toThrow()
    await expect(volume.appendGroup(group(1, 10, inlineBytesMax))).rejects.toThrow('groupBytesMax')
    await volume.appendGroup([{ ...good, body: [Buffer.alloc(inlineBytesMax)] }])
  })

  it('goes on to the next segment when one is full, and everything stays readable', async () => {
    const { volume } = await started()
    const locations: Location[] = []
    for (let seq = 1; seq <= 100; seq++) {
      locations.push(...(await volume.appendGroup([record(seq, 3500)])))
    }
    expect(new Set(locations.map(({ segment }) => segment)).size).toBeGreaterThan(5)
    for (const [i, location] of locations.entries()) {
      expect(await readable(volume, location, i + 1)).toBe(true)
    }
  })

  it('has room for the footer even when a segment holds nothing but labels', async () => {
    const { disk, volume } = await started()
    let seq = 0
    for (let groups = 0; groups < 30; groups++) {
      await volume.appendGroup(
        Array.from({ length: 100 }, () => ({ ...record(++seq, 0), label: Buffer.alloc(100, 1) })),
      )
    }
    await volume.close()
    const { volume: again } = await startVolume(disk)
    const sealed = again.segments().filter(({ state }) => state === 'sealed')
    expect(sealed.length).toBeGreaterThan(5)
    for (const { segment } of sealed)
      expect(footerOf(disk, again, segment).length).toBeGreaterThan(0)
  })
})

describe('A sealed segment', () => {
  it('ends with a footer that lists its records, and is trimmed to it', async () => {
    const { disk, volume } = await started()
    const next = await fillSegment(volume, 1)
    await volume.close()
    const entries = footerOf(disk, volume, 0)
    expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: next - 4 }, (_, i) => i + 1))
    const size = disk.segments.get(0)?.current.length ?? 0
    expect(size).toBeLessThanOrEqual(volume.limits.segmentBytes)
    expect(volume.segments()[0]).toMatchObject({ segment: 0, state: 'sealed', bytes: size })
    for (const { seq, offset, headLength, bodyLength, label } of entries) {
      expect(Buffer.from(label).toString()).toBe(`label of ${seq}`)
      const location = { segment: 0, generation: 1, offset, headLength, bodyLength }
      expect(bodyLength).toBe(3000)
      expect(location.offset).toBeGreaterThan(blockBytes)
    }
  })

  it('gets its footer at the next opening when a crash left it without', async () => {
    const { disk, volume } = await started()
    await volume.appendGroup(group(1))
    await volume.appendBulk(chunk(1))
    await volume.appendBulk(chunk(2))
    const { volume: again } = await startVolume(disk)
    expect(footerOf(disk, again, 0).map(({ seq }) => seq)).toEqual([1, 2, 3])
    const bulk = again.segments().find(({ stream }) => stream === 'bulk')
    expect(bulk?.state).toBe('sealed')
    const labels = footerOf(disk, again, bulk?.segment ?? -1).map(({ label }) => label.toString())
    expect(labels).toEqual(['blob 1', 'blob 2'])
  })
})

describe('A write that fails', () => {
  it.each(['write', 'sync'] as const)('in its %s: the next segment voids it', async (operation) => {
    const { disk, volume } = await started()
    const [kept] = await volume.appendGroup(group(1))
    disk.fail(operation, 'EIO')
    await expect(volume.appendGroup(group(4))).rejects.toThrow(GroupWriteError)
    expect(volume.logPosition()).toMatchObject({ segment: 0, offset: 8192 })
    expect(volume.health().writable).toBe(true)
    disk.trace.length = 0
    await volume.appendGroup(group(7))
    expect(volume.logPosition().segment).not.toBe(0)
    expect(await readable(volume, kept as Location, 1)).toBe(true)
    expect(await replayedSeqs(disk)).toEqual([1, 2, 3, 7, 8, 9])
  })

  it('short, without an error of the system: is a failure all the same', async () => {
    const { disk, volume } = await started()
    disk.fail('write', 'short')
    await expect(volume.appendGroup(group(1))).rejects.toThrow(GroupWriteError)
    expect(volume.logMayHoldFailed).toBe(true)
    await volume.appendGroup(group(4))
    expect(volume.logMayHoldFailed).toBe(false)
    expect(await replayedSeqs(disk)).toEqual([4, 5, 6])
  })

  it('is not what a segment does that is full: nothing in the log is in doubt while the next one is opened', async () => {
    const { disk, volume } = await started()
    const doubts: boolean[] = []
    const step = disk.step.bind(disk)
    vi.spyOn(disk, 'step').mockImplementation((...operation) => {
      doubts.push(volume.logMayHoldFailed)
      return step(...operation)
    })
    await fillSegment(volume, 1)
    expect(doubts).not.toContain(true)
  })

  it('never touches the file again, and leaves it without a footer until the next opening', async () => {
    const { disk, volume } = await started()
    await volume.appendGroup(group(1))
    disk.fail('sync', 'EIO')
    await expect(volume.appendGroup(group(4))).rejects.toThrow(GroupWriteError)
    const before = Buffer.from(disk.segments.get(0)?.current ?? [])
    await fillSegment(volume, 7)
    await volume.close()
    expect(before.equals(disk.segments.get(0)?.current ?? Buffer.alloc(0))).toBe(true)
    const { volume: again } = await startVolume(disk)
    expect(footerOf(disk, again, 0).map(({ seq }) => seq)).toEqual([1, 2, 3])
  })

  it('twice, in the header that was to void the first: nothing is written any more', async () => {
    const { disk, volume } = await started()
    const [kept] = await volume.appendGroup(group(1))
    disk.fail('sync', 'EIO', { times: 2 })
    await expect(volume.appendGroup(group(4))).rejects.toThrow(GroupWriteError)
    await expect(volume.appendGroup(group(7))).rejects.toThrow(VolumeReadOnlyError)
    const health = volume.health()
    expect(health.writable).toBe(false)
    expect(health.reason).toContain('read-only')
    expect(volume.usage().writable).toBe(false)
    expect(volume.isRoomFor(1, { essential: true })).toBe(false)
    await expect(volume.appendGroup(group(10))).rejects.toThrow(VolumeReadOnlyError)
    await expect(volume.appendBulk(chunk(1))).rejects.toThrow(VolumeReadOnlyError)
    await expect(volume.freeSegment(0, 1)).rejects.toThrow(VolumeReadOnlyError)
    expect(await readable(volume, kept as Location, 1)).toBe(true)
    await volume.close()
    const { volume: again, replayed } = await startVolume(disk)
    expect(seqsOf(replayed).slice(0, 3)).toEqual([1, 2, 3])
    await again.appendGroup(group(20))
  })

  it('in the header of the next segment alone: the group fails, and the one after goes on', async () => {
    const { disk, volume } = await started()
    let seq = 1
    // Every append may begin the next segment; its header is the write that fails then.
    for (;;) {
      const { fill } = fillOf(volume)
      if (fill > 0.8) break
      await volume.appendGroup(group(seq, 3, 3000))
      seq += 3
    }
    disk.fail('write', 'EIO', { after: 1 })
    const failed: number[] = []
    for (let groups = 0; groups < 6; groups++) {
      const from = seq
      seq += 3
      await volume.appendGroup(group(from, 3, 3000)).catch((error: unknown) => {
        expect(error).toBeInstanceOf(GroupWriteError)
        failed.push(from)
      })
    }
    expect(failed).toHaveLength(1)
    const all = Array.from({ length: seq - 1 }, (_, i) => i + 1)
    const lost = failed.flatMap((from) => [from, from + 1, from + 2])
    expect(await replayedSeqs(disk)).toEqual(all.filter((one) => !lost.includes(one)))
  })

  it('of a footer does no harm: the next header says where the segment ends', async () => {
    const { disk, volume } = await started()
    const next = await fillSegment(volume, 1)
    const groupsPerSegment = (next - 1) / 3 - 1
    let seq = next
    for (let groups = 1; groups < groupsPerSegment; groups++) {
      await volume.appendGroup(group(seq, 3, 3000))
      seq += 3
    }
    disk.fail('write', 'EIO')
    await volume.appendGroup(group(seq, 3, 3000))
    expect(disk.faults).toEqual([])
    expect(await replayedSeqs(disk)).toEqual(Array.from({ length: seq + 2 }, (_, i) => i + 1))
  })
})

describe('Bulk', () => {
  it('gathers what is appended while a sync runs into one group', async () => {
    const { disk, volume } = await started()
    await volume.appendBulk(chunk(0))
    disk.trace.length = 0
    const first = volume.appendBulk(chunk(1, 2000))
    while (!disk.trace.includes('write')) await Promise.resolve()
    const others = [2, 3, 4].map((index) => volume.appendBulk(chunk(index, 2000)))
    const locations = await Promise.all([first, ...others])
    expect(disk.trace.filter((operation) => operation === 'sync')).toHaveLength(2)
    expect(new Set(locations.map(({ offset }) => offset)).size).toBe(4)
    for (const [i, location] of locations.entries()) {
      const { body, label } = await volume.readRecord(location, { seq: 0 })
      expect(label.toString()).toBe(`blob ${i + 1}`)
      expect(body.equals(contentOf(i + 1, 2000))).toBe(true)
    }
  })

  it('bounds its groups however much is waiting', async () => {
    const { volume } = await started()
    const many = Array.from({ length: 60 }, (_, index) => volume.appendBulk(chunk(index, 8000)))
    const locations = await Promise.all(many)
    expect(new Set(locations.map(({ segment }) => segment)).size).toBeGreaterThan(5)
  })

  it('is no part of the log', async () => {
    const { disk, volume } = await started()
    await volume.appendBulk(chunk(1))
    await volume.appendGroup(group(1))
    await volume.appendBulk(chunk(2))
    expect(await replayedSeqs(disk)).toEqual([1, 2, 3])
  })

  it('fails the group whose sync failed, and no other', async () => {
    const { disk, volume } = await started()
    const before = await volume.appendBulk(chunk(1))
    disk.fail('sync', 'EIO')
    await expect(volume.appendBulk(chunk(2))).rejects.toThrow(GroupWriteError)
    const after = await volume.appendBulk(chunk(3))
    expect(after.segment).not.toBe(before.segment)
    await volume.close()
    const { volume: again } = await startVolume(disk)
    for (const [location, index] of [
      [before, 1],
      [after, 3],
    ] as const) {
      const { body } = await again.readRecord(location, { seq: 0 })
      expect(body.equals(contentOf(index, 5000))).toBe(true)
    }
    expect(footerOf(disk, again, before.segment)).toHaveLength(1)
  })

  it('passes over damage when it finishes a segment, and the rest stays readable', async () => {
    const { disk, volume } = await started()
    const locations = [
      await volume.appendBulk(chunk(1)),
      await volume.appendBulk(chunk(2)),
      await volume.appendBulk(chunk(3)),
    ] as const
    disk.tamper(locations[1].segment, (bytes) =>
      bytes.fill(0, locations[1].offset, locations[1].offset + 9),
    )
    const { volume: again } = await startVolume(disk)
    const body = (await again.readRecord(locations[2], { seq: 0 })).body
    expect(body.equals(contentOf(3, 5000))).toBe(true)
    await expect(again.readRecord(locations[1], { seq: 0 })).rejects.toThrow(CorruptRecordError)
    const entries = footerOf(disk, again, locations[0].segment)
    expect(entries.map(({ label }) => label.toString())).toEqual(['blob 1', 'blob 3'])
  })
})

describe('Closing', () => {
  it('finishes what is under way, and can be done twice', async () => {
    const { disk, volume } = await started()
    const bulk = volume.appendBulk(chunk(1))
    const log = volume.appendGroup(group(1))
    await volume.close()
    await volume.close()
    await Promise.all([bulk, log])
    expect(await replayedSeqs(disk)).toEqual([1, 2, 3])
    await expect(volume.appendGroup(group(4))).rejects.toThrow('closed')
  })

  it('keeps locations valid for the next opening', async () => {
    const { disk, volume } = await started()
    const [location] = await volume.appendGroup(group(1))
    await volume.close()
    const { volume: again } = await startVolume(disk)
    expect(await readable(again, location as Location, 1)).toBe(true)
    const gone = { ...(location as Location), generation: 9 }
    await expect(again.readRecord(gone, { seq: 1 })).rejects.toThrow(StaleLocationError)
  })
})

function fillOf(volume: Volume): { readonly fill: number } {
  return { fill: volume.logPosition().offset / volume.limits.segmentBytes }
}

/** What a later rebuild or cleaning would read. */
function footerOf(disk: FaultyDisk, volume: Volume, segment: number) {
  const bytes = disk.segments.get(segment)?.current ?? Buffer.alloc(0)
  const info = volume.segments().find((one) => one.segment === segment)
  if (info === undefined) throw new Error(`segment ${segment} is not there`)
  const seed = new SegmentSeed(Buffer.from(volume.identity.volumeId, 'hex'), info)
  const offset = decodeTrailer(bytes.subarray(bytes.length - blockBytes), bytes.length, seed)
  if (offset === undefined) throw new Error(`segment ${segment} has no footer`)
  const header = decodeFooterHeader(bytes, offset, { offset, seed })
  if (header === undefined) throw new Error('the footer has no header')
  const from = offset + 32
  const entries = decodeFooterEntries(
    bytes.subarray(from, from + header.entriesBytes),
    header,
    seed,
  )
  if (typeof entries === 'string') throw new Error(entries)
  return entries
}
