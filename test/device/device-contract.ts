/** What every Device must do, run on each implementation. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Device, DeviceSegment } from '../../src/device/device.ts'

/** One place that a device is kept in, empty at first. */
export interface DevicePlace {
  open(): Promise<Device>
  remove(): Promise<void>
}

const size = 256 * 1024

export function describeDevice(name: string, makePlace: () => Promise<DevicePlace>): void {
  let place: DevicePlace
  let device: Device

  beforeEach(async () => {
    place = await makePlace()
    device = await place.open()
  })
  afterEach(async () => {
    await device.close()
    await place.remove()
  })

  async function reopen(): Promise<void> {
    await device.close()
    device = await place.open()
  }

  describe(`${name}: superblock`, () => {
    it('has none on a device that was never initialised', async () => {
      expect(await device.readSuperblock()).toBeUndefined()
    })

    it('returns the last one written, also after it was opened again', async () => {
      await device.writeSuperblock(Buffer.alloc(4096, 1))
      await device.writeSuperblock(Buffer.alloc(4096, 2))
      expect(equal(await device.readSuperblock(), Buffer.alloc(4096, 2))).toBe(true)
      await reopen()
      expect(equal(await device.readSuperblock(), Buffer.alloc(4096, 2))).toBe(true)
    })

    it('keeps nothing of a longer one that was replaced', async () => {
      await device.writeSuperblock(Buffer.alloc(4096, 1))
      await device.writeSuperblock(Buffer.from('short'))
      expect(equal(await device.readSuperblock(), Buffer.from('short'))).toBe(true)
    })
  })

  describe(`${name}: segments`, () => {
    it('lists nothing at first, and the slots that hold a segment in ascending order', async () => {
      expect(await device.list()).toEqual([])
      for (const slot of [7, 0, 30]) await closing(device.create(slot, size))
      expect(await device.list()).toEqual([0, 7, 30])
      await reopen()
      expect(await device.list()).toEqual([0, 7, 30])
    })

    it('creates a segment of zeros in its full size', async () => {
      const segment = await device.create(1, size)
      expect(segment.size).toBe(size)
      expect(equal(await readAll(segment), Buffer.alloc(size))).toBe(true)
      await segment.close()
    })

    it('creates the same without its space, which counts as taken all the same', async () => {
      const before = await device.freeBytes()
      const segment = await device.create(1, size, { ahead: false })
      expect(before - (await device.freeBytes())).toBeGreaterThanOrEqual(size)
      expect(segment.size).toBe(size)
      expect(equal(await readAll(segment), Buffer.alloc(size))).toBe(true)
      await segment.write([Buffer.from('kept')], size - 4)
      await segment.sync()
      await segment.close()
      await reopen()
      const again = await device.open(1)
      expect((await readAll(again)).toString('latin1', size - 4)).toBe('kept')
      await again.close()
    })

    it('refuses to create a segment in a slot that holds one, and leaves that one alone', async () => {
      const segment = await device.create(1, size)
      await segment.write([Buffer.from('kept')], 0)
      await segment.sync()
      await expect(device.create(1, size)).rejects.toThrow()
      expect((await readAll(segment)).toString('latin1', 0, 4)).toBe('kept')
      await segment.close()
    })

    it('keeps what was written and synced in one call, wherever it lies in the segment', async () => {
      const segment = await device.create(1, size)
      await segment.write([Buffer.alloc(size, 7)], 0)
      await segment.writeSynced([Buffer.from('in '), Buffer.from('pieces')], 100)
      await segment.writeSynced([Buffer.from('end')], size - 3)
      await segment.sync()
      await segment.close()
      await expect(segment.writeSynced([Buffer.from('late')], 0)).rejects.toThrow()
      await reopen()
      const again = await device.open(1)
      const bytes = await readAll(again)
      expect(bytes.toString('latin1', 100, 109)).toBe('in pieces')
      expect(bytes.toString('latin1', size - 3)).toBe('end')
      expect(bytes[0]).toBe(7)
      await again.close()
    })

    it('cannot open an empty slot', async () => {
      await expect(device.open(5)).rejects.toThrow()
    })

    it('opens a segment with the size it was created in', async () => {
      await closing(device.create(1, size))
      await reopen()
      const segment = await device.open(1)
      expect(segment.size).toBe(size)
      await segment.close()
    })

    it('removes a segment and lets its slot be used again, with zeros', async () => {
      const segment = await device.create(1, size)
      await segment.write([Buffer.alloc(size, 7)], 0)
      await segment.sync()
      await segment.close()
      await device.remove(1)
      expect(await device.list()).toEqual([])
      const again = await device.create(1, size)
      expect(equal(await readAll(again), Buffer.alloc(size))).toBe(true)
      await again.close()
    })

    it('does nothing when an empty slot is removed', async () => {
      await device.remove(3)
      expect(await device.list()).toEqual([])
    })

    it('tells how many bytes are free', async () => {
      expect(await device.freeBytes()).toBeGreaterThan(0)
    })
  })

  describe(`${name}: reading and writing`, () => {
    let segment: DeviceSegment

    beforeEach(async () => {
      segment = await device.create(0, size)
    })
    afterEach(async () => {
      await segment.close()
    })

    it('writes several buffers one after the other, from any position', async () => {
      await segment.write([Buffer.from('ab'), Buffer.from(''), Buffer.from('cde')], 4099)
      await segment.sync()
      const bytes = await readAll(segment)
      expect(bytes.toString('latin1', 4098, 4105)).toBe('\0abcde\0')
    })

    it('takes as many buffers in one call as the volume hands it', async () => {
      const buffers = Array.from({ length: 1024 }, (_, i) => Buffer.from([i % 256, i >> 8]))
      await segment.write(buffers, 8192)
      const target = Buffer.alloc(2048)
      expect(await segment.read(target, 8192)).toBe(2048)
      expect(equal(target, Buffer.concat(buffers))).toBe(true)
    })

    it('reads what was written at once, and after it was opened again', async () => {
      await segment.write([Buffer.from('hello')], 100)
      const target = Buffer.alloc(5)
      expect(await segment.read(target, 100)).toBe(5)
      expect(target.toString()).toBe('hello')
      await segment.sync()
      await segment.close()
      await reopen()
      segment = await device.open(0)
      expect(await segment.read(target.fill(0), 100)).toBe(5)
      expect(target.toString()).toBe('hello')
    })

    it('reads fewer bytes only at the end', async () => {
      expect(await segment.read(Buffer.alloc(100), size - 10)).toBe(10)
      expect(await segment.read(Buffer.alloc(100), size)).toBe(0)
    })

    it('reads the same at once where it can, with zeros where nothing was written', async () => {
      await segment.write([Buffer.from('hello')], 100)
      const target = Buffer.alloc(10, 9)
      if (segment.readNow?.(target, 100) === undefined) return
      expect(target.toString('latin1')).toBe('hello\0\0\0\0\0')
      expect(segment.readNow(target.fill(9), size - 10)).toBe(10)
      expect(equal(target, Buffer.alloc(10))).toBe(true)
      expect(segment.readNow(Buffer.alloc(100), size - 10)).toBe(10)
      expect(segment.readNow(Buffer.alloc(100), size)).toBe(0)
      const closed = await device.create(1, size)
      await closed.close()
      expect(() => closed.readNow?.(target, 0)).toThrow()
    })

    it('refuses a write beyond the end, and writes nothing of it', async () => {
      await expect(segment.write([Buffer.alloc(20, 9)], size - 10)).rejects.toThrow()
      expect(equal((await readAll(segment)).subarray(size - 10), Buffer.alloc(10))).toBe(true)
    })

    it('gives back what lies beyond a trim, for good', async () => {
      await segment.write([Buffer.alloc(size, 3)], 0)
      await segment.trim(8192)
      expect(segment.size).toBe(8192)
      expect(await segment.read(Buffer.alloc(10), 8190)).toBe(2)
      await segment.close()
      await reopen()
      segment = await device.open(0)
      expect(segment.size).toBe(8192)
      expect(equal(await readAll(segment), Buffer.alloc(8192, 3))).toBe(true)
    })

    it('reads and writes side by side', async () => {
      const pieces = Array.from({ length: 32 }, (_, i) => Buffer.alloc(4096, i + 1))
      await Promise.all(pieces.map((piece, i) => segment.write([piece], i * 4096)))
      const read = await Promise.all(
        pieces.map(async (_, i) => {
          const target = Buffer.alloc(4096)
          await segment.read(target, i * 4096)
          return target
        }),
      )
      expect(equal(Buffer.concat(read), Buffer.concat(pieces))).toBe(true)
    })
  })
}

async function closing(opened: Promise<DeviceSegment>): Promise<void> {
  const segment = await opened
  await segment.close()
}

async function readAll(segment: DeviceSegment): Promise<Buffer> {
  const bytes = Buffer.alloc(segment.size)
  expect(await segment.read(bytes, 0)).toBe(segment.size)
  return bytes
}

/** Compared without the runner's printing of a megabyte of difference. */
function equal(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0
}
