import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { VolumeInUseError } from '../../src/device/errors.ts'
import {
  CorruptSuperblockError,
  FormatTooNewError,
  MissingSuperblockError,
  SiteIdMismatchError,
} from '../../src/volume/format/errors.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { collect, openVolume, record, startVolume } from './scenario.ts'

describe('Making a volume', () => {
  it('gives it an identity that stays', async () => {
    const disk = new FaultyDisk()
    const { identity } = await openVolume(disk)
    expect(identity).toMatchObject({ siteId: 'a', incarnationSince: 1_700_000_000_000 })
    expect(identity.volumeId).toMatch(/^[0-9a-f]{32}$/)
    expect(identity.incarnation).toMatch(/^[0-9a-f]{16}$/)
    const again = await openVolume(disk, { random: seededRandom(99) })
    expect(again.identity).toEqual(identity)
  })

  it('names the site itself when nobody else does', async () => {
    const { identity } = await openVolume(new FaultyDisk(), { format: {} })
    expect(identity.siteId).toMatch(/^[0-9a-f]{16}$/)
  })

  it('writes the superblock and nothing else', async () => {
    const disk = new FaultyDisk()
    const volume = await openVolume(disk)
    expect(disk.trace).toEqual(['superblock'])
    expect(volume.segments()).toEqual([])
    expect(await collect(volume)).toEqual([])
  })

  it('begins the log behind the first block of the first segment', async () => {
    const volume = await openVolume(new FaultyDisk())
    expect(await volume.activate()).toEqual({ segment: 0, generation: 1, offset: 4096 })
    expect(() => volume.replay(undefined)).toThrow('replay comes before activation')
    await expect(volume.activate()).rejects.toThrow('activated once')
  })

  it('takes no records before it is active', async () => {
    const volume = await openVolume(new FaultyDisk())
    await expect(volume.appendGroup([record(1)])).rejects.toThrow('not active')
    await expect(volume.appendBulk(record(1))).rejects.toThrow('not active')
  })
})

describe('Opening a volume', () => {
  it('as another site is refused', async () => {
    const disk = new FaultyDisk()
    await openVolume(disk)
    const other = openVolume(disk, { format: { siteId: 'b' } })
    await expect(other).rejects.toThrow(SiteIdMismatchError)
    await expect(other).rejects.toThrow('belongs to site a, not to b')
  })

  it('keeps the segment size that it was made with', async () => {
    const disk = new FaultyDisk()
    await openVolume(disk)
    const { limits } = await openVolume(disk, { format: { segmentBytes: 2 ** 20 } })
    expect(limits.segmentBytes).toBe(64 * 1024)
  })

  it('of a newer format is refused by name, and so is a newer segment', async () => {
    const disk = new FaultyDisk()
    await startVolume(disk)
    disk.tamper(0, (bytes) => bytes.writeUInt16LE(2, 8))
    await expect(openVolume(disk)).rejects.toThrow(FormatTooNewError)
    disk.superblock?.writeUInt16LE(9, 8)
    await expect(openVolume(disk)).rejects.toThrow('has format 9; this ComIO reads formats up to 1')
  })

  it('with a damaged superblock is refused', async () => {
    const disk = new FaultyDisk()
    await openVolume(disk)
    disk.superblock?.writeUInt8(1, 20)
    await expect(openVolume(disk)).rejects.toThrow(CorruptSuperblockError)
    disk.superblock = Buffer.from('hello')
    await expect(openVolume(disk)).rejects.toThrow(CorruptSuperblockError)
  })

  it('without its superblock is refused, and not made anew', async () => {
    const disk = new FaultyDisk()
    await startVolume(disk)
    disk.superblock = undefined
    await expect(openVolume(disk)).rejects.toThrow(MissingSuperblockError)
    expect(disk.segments.size).toBe(1)
  })
})

describe('The lock on the volume id', () => {
  it('is taken before the first write and released by closing', async () => {
    const disk = new FaultyDisk()
    const events: string[] = []
    const lock = async (volumeId: string) => {
      events.push(`locked ${volumeId.length} after ${disk.operations}`)
      return {
        release: async () => {
          events.push('released')
        },
      }
    }
    const volume = await openVolume(disk, { lock })
    expect(events).toEqual(['locked 32 after 0'])
    await volume.close()
    expect(events).toEqual(['locked 32 after 0', 'released'])
  })

  it('that is held by another keeps the volume untouched', async () => {
    const disk = new FaultyDisk()
    const lock = (volumeId: string) => Promise.reject(new VolumeInUseError(volumeId, 17))
    await expect(openVolume(disk, { lock })).rejects.toThrow('in use by process 17')
    expect(disk.operations).toBe(0)
  })

  it('is released when the volume then cannot be opened', async () => {
    const disk = new FaultyDisk()
    await startVolume(disk)
    disk.tamper(0, (bytes) => bytes.fill(1, 0, 9000))
    let released = 0
    const lock = async () => ({
      release: async () => {
        released++
      },
    })
    await expect(openVolume(disk, { lock })).rejects.toThrow()
    expect(released).toBe(1)
  })
})
