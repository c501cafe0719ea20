import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { beforeEach, describe, expect, it } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import type { DeviceSegment } from '../../src/device/device.ts'
import { CorruptDeviceError, DeviceShrunkError } from '../../src/device/errors.ts'
import { openFile } from '../../src/device/file-calls.ts'
import { makeSlotDevice } from '../../src/device/make-slot-device.ts'
import { SystemBacking } from '../../src/device/slot-backing.ts'
import { SlotDevice } from '../../src/device/slot-device.ts'
import {
  filesPlace,
  labelPlace,
  planLayout,
  type SlotLayout,
  superblockPlace,
  tablePlace,
} from '../../src/device/slot-layout.ts'
import { describeDevice } from './device-contract.ts'
import { LossyBacking } from './lossy-backing.ts'

const kib = 1024
const mib = 2 ** 20
const slotBytes = 256 * kib
const deviceBytes = 10 * mib
const layout: SlotLayout = planLayout(
  { name: 'test', bytes: deviceBytes },
  { deviceId: seededRandom(1).bytes(16), slotBytes },
)

/** Full of what others have left. */
async function freshBacking(made = layout): Promise<LossyBacking> {
  const size = made.deviceBytes
  const backing = new LossyBacking(Buffer.alloc(size, 0xab))
  const handle = await backing.open()
  await makeSlotDevice(handle, { name: 'test', layout: made, size, ahead: false })
  await handle.close()
  return backing
}

describeDevice('SlotDevice', async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), 'comio-slots-'))
  const path = join(folder, 'volume')
  await fs.writeFile(path, (await freshBacking()).bytes)
  return {
    open: async () => {
      const fd = await openFile(path, 'r+')
      const onClosed = async (): Promise<void> => undefined
      return SlotDevice.open(new SystemBacking({ name: path, size: deviceBytes, fd, onClosed }))
    },
    remove: () => fs.rm(folder, { recursive: true }),
  }
})

describe('SlotDevice: its slots', () => {
  let backing: LossyBacking
  let device: SlotDevice

  beforeEach(async () => {
    backing = await freshBacking()
    device = await SlotDevice.open(backing)
  })

  it('takes a slot for each segment, says when none is left, and gives it back', async () => {
    const { slotCount } = layout
    expect(await device.freeBytes()).toBe(slotCount * slotBytes)
    expect(device.capacityBytes).toBeLessThan(slotCount * slotBytes)
    for (let slot = 0; slot < slotCount; slot++) {
      const segment = await device.create(slot, slotBytes)
      await segment.trim(4096)
      await segment.close()
    }
    expect(await device.freeBytes()).toBe(0)
    const full = await device.create(slotCount, slotBytes).catch((error: unknown) => error)
    expect(full).toMatchObject({ code: 'ENOSPC' })
    await device.remove(3)
    expect(await device.freeBytes()).toBe(slotBytes)
    await (await device.create(3, slotBytes)).close()
    await device.close()
    expect(backing.openHandles).toBe(0)
  })

  it('shows nothing of what an earlier segment left, in any order of writes', async () => {
    await fillAndRemove(device, 5)
    const segment = await device.create(5, slotBytes)
    const random = seededRandom(4)
    const expected = Buffer.alloc(slotBytes)
    for (let round = 0; round < 20; round++) {
      const writes = Array.from({ length: 3 }, () => {
        const position = randomBelow(random, slotBytes - 5000)
        return { position, bytes: Buffer.alloc(1 + randomBelow(random, 5000), round + 1) }
      }).filter((one, at, all) => all.slice(0, at).every((other) => !overlap(one, other)))
      for (const { position, bytes } of writes) bytes.copy(expected, position)
      await Promise.all(writes.map(({ position, bytes }) => segment.write([bytes], position)))
      expect((await readAll(segment)).equals(expected)).toBe(true)
    }
    await segment.sync()
    await segment.close()
    const again = await (await SlotDevice.open(backing.afterPowerLoss())).open(5)
    expect((await readAll(again)).equals(expected)).toBe(true)
  })

  it('keeps zeros behind the first block until more than that is written', async () => {
    await fillAndRemove(device, 5)
    const segment = await device.create(5, slotBytes)
    await segment.write([Buffer.alloc(4096, 7)], 0)
    await segment.sync()
    const found = await (await SlotDevice.open(backing.afterPowerLoss())).open(5)
    const bytes = await readAll(found)
    expect(bytes.subarray(0, 4096)).toEqual(Buffer.alloc(4096, 7))
    expect(bytes.subarray(4096).every((byte) => byte === 0)).toBe(true)
  })

  it('keeps small files, and refuses what has no room', async () => {
    expect(await device.files.read('role')).toBeUndefined()
    await Promise.all([device.files.replace('role', 'one'), device.files.replace('list', 'two')])
    await device.files.replace('role', 'three')
    const tooLong = 'x'.repeat(layout.filesBytes)
    await expect(device.files.replace('list', tooLong)).rejects.toThrow(/no room for list/)
    const again = await SlotDevice.open(backing.afterPowerLoss())
    expect([await again.files.read('role'), await again.files.read('list')]).toEqual([
      'three',
      'two',
    ])
  })

  it('lives with damage to one copy of anything, and says so when both are damaged', async () => {
    await device.writeSuperblock(Buffer.from('superblock'))
    await device.writeSuperblock(Buffer.from('superblock'))
    await device.files.replace('role', 'x')
    await device.files.replace('role', 'x')
    await (await device.create(1, slotBytes)).close()
    const { bytes } = backing.afterPowerLoss()
    const places = [labelPlace, superblockPlace(layout), tablePlace(layout, 0), filesPlace(layout)]
    for (const place of places) {
      for (const [first, second] of [place.copies, [...place.copies].reverse()]) {
        const damaged = Buffer.from(bytes)
        damaged.writeUInt8(0xff ^ damaged.readUInt8((first ?? 0) + 33), (first ?? 0) + 33)
        const opened = await SlotDevice.open(new LossyBacking(damaged))
        expect(Buffer.from((await opened.readSuperblock()) ?? []).toString()).toBe('superblock')
        damaged.writeUInt8(0xff ^ damaged.readUInt8((second ?? 0) + 33), (second ?? 0) + 33)
        const opening = SlotDevice.open(new LossyBacking(damaged))
        await expect(opening, place.kind).rejects.toThrow(CorruptDeviceError)
      }
    }
  })

  it('refuses a device that has become shorter', async () => {
    const bytes = backing.bytes.subarray(0, deviceBytes - 4096)
    await expect(SlotDevice.open(new LossyBacking(bytes))).rejects.toThrow(DeviceShrunkError)
  })

  it('says so when the system fails, and goes on from what was stored before', async () => {
    backing.failing.add(backing.operations + 1).add(backing.operations + 4)
    await expect(device.create(1, slotBytes)).rejects.toThrow('EIO')
    const segment = await device.create(1, slotBytes)
    await expect(device.remove(1)).rejects.toThrow('EIO')
    await segment.write([Buffer.from('kept')], 0)
    await segment.sync()
    const again = await SlotDevice.open(backing.afterPowerLoss())
    expect(await again.list()).toEqual([1])
    expect((await readAll(await again.open(1))).toString('latin1', 0, 4)).toBe('kept')
  })
})

describe('SlotDevice: its bytes', () => {
  it('lie where docs/format.md says', async () => {
    const backing = await freshBacking()
    const device = await SlotDevice.open(backing)
    const segment = await device.create(2, slotBytes)
    await segment.write([Buffer.alloc(12_288, 5)], 0)
    await segment.sync()
    await segment.trim(8192)
    await device.writeSuperblock(Buffer.from('first'))
    await device.writeSuperblock(Buffer.from('second'))
    await device.files.replace('role', 'r')
    const { bytes } = backing
    for (const at of [0, 65_536]) {
      expect(bytes.toString('latin1', at, at + 8)).toBe('COMIODEV')
      expect([bytes.readUInt16LE(at + 8), bytes[at + 10], bytes.readUInt32LE(at + 24)]).toEqual([
        1, 1, 48,
      ])
    }
    const [slots, filesBytes] = [bytes.readUInt32LE(32 + 28), bytes.readUInt32LE(32 + 32)]
    expect([bytes.readUIntLE(32 + 16, 6), bytes.readUInt32LE(32 + 24)]).toEqual([
      deviceBytes,
      slotBytes,
    ])
    expect([filesBytes, bytes[32 + 36]]).toEqual([32 * kib, 1])
    const pages = Math.ceil(slots / 508)
    const area = 8192 + 4096 * pages + filesBytes
    const first = Math.ceil((131_072 + 2 * area) / mib) * mib
    expect(slots).toBe((deviceBytes - first) / slotBytes)
    expect(bytes.toString('latin1', 131_072 + 32, 131_072 + 37)).toBe('first')
    expect(bytes.toString('latin1', 131_072 + area + 32, 131_072 + area + 38)).toBe('second')
    expect(bytes[131_072 + 10]).toBe(2)
    // Copies in turn: made, taken, written, trimmed.
    const page = 131_072 + area + 8192
    expect([bytes[page + 10], bytes.readUIntLE(page + 16, 6)]).toEqual([3, 4])
    expect([bytes.readUInt32LE(page + 32 + 16), bytes.readUInt32LE(page + 32 + 20)]).toEqual([2, 2])
    const files = 131_072 + 8192 + 4096 * pages
    expect(bytes.toString('latin1', files + 32, files + 32 + 12)).toBe('{"role":"r"}')
    expect(bytes[files + 10]).toBe(4)
    const slot = first + 2 * slotBytes
    expect(bytes.subarray(slot, slot + 12_288).every((byte) => byte === 5)).toBe(true)
    const sum = crc32(
      bytes.subarray(32, 32 + 48),
      crc32(bytes.subarray(0, 28), crc32(Buffer.alloc(16))),
    )
    expect(bytes.readUInt32LE(28)).toBe(sum)
  })
})

describe('SlotDevice: power loss', () => {
  it('at any write leaves every change done or not done, and nothing else changed', async () => {
    const small = planLayout(
      { name: 'small', bytes: 1.5 * mib },
      { deviceId: layout.deviceId, slotBytes: 16 * kib },
    )
    const pristine = (await freshBacking(small)).bytes
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed)
      const backing = new LossyBacking(Buffer.from(pristine), seed)
      const model = new Model()
      let disk = backing
      for (let life = 0; life < 3; life++) {
        disk.powerOffAt = 1 + randomBelow(random, 40)
        await liveUntilPowerLoss(await SlotDevice.open(disk), model, random)
        disk = disk.afterPowerLoss()
        await model.verify(await SlotDevice.open(disk))
      }
    }
  })
})

type Content = { readonly size: number; readonly fill: number } | undefined

/** What each thing was when it was last answered, or may have become since. */
class Model {
  readonly slots = new Map<number, readonly Content[]>()
  superblock: readonly number[] = []
  role: readonly string[] = []

  contentOf(slot: number): Content {
    return this.slots.get(slot)?.[0]
  }

  async change(slot: number, next: Content, run: () => Promise<void>): Promise<void> {
    const before = this.slots.get(slot) ?? [undefined]
    this.slots.set(slot, [...before, next])
    await run()
    this.slots.set(slot, [next])
  }

  /** From here on what was begun is there or not. */
  async verify(device: SlotDevice): Promise<void> {
    const there = new Set(await device.list())
    for (const [slot, possible] of this.slots) {
      const found = there.has(slot) ? await contentIn(device, slot) : undefined
      expect(possible, `slot ${slot}`).toContainEqual(found)
      this.slots.set(slot, [found])
    }
    for (const slot of there) expect(this.slots.has(slot)).toBe(true)
    const superblock = (await device.readSuperblock())?.[0] ?? 0
    expect([0, ...this.superblock].slice(-2)).toContain(superblock)
    this.superblock = [superblock]
    const role = (await device.files.read('role')) ?? ''
    expect(['', ...this.role].slice(-2)).toContain(role)
    this.role = [role]
  }
}

async function contentIn(device: SlotDevice, slot: number): Promise<Content> {
  const segment = await device.open(slot)
  const bytes = await readAll(segment)
  await segment.close()
  return { size: bytes.length, fill: bytes[0] ?? 0 }
}

async function liveUntilPowerLoss(
  device: SlotDevice,
  model: Model,
  random: ReturnType<typeof seededRandom>,
): Promise<void> {
  try {
    for (let step = 1; ; step++) {
      const slots = [0, 1, 2, 3].map((at) => (step * 4 + at) % 8)
      await Promise.all(slots.map((slot) => changeSlot(device, model, { slot, random, step })))
      model.superblock = [model.superblock.at(-1) ?? 0, step % 256]
      await device.writeSuperblock(Buffer.alloc(100, step))
      model.role = [model.role.at(-1) ?? '', `role ${step}`]
      await device.files.replace('role', `role ${step}`)
    }
  } catch (error) {
    if (!String(error).includes('the power')) throw error
  }
}

/** A segment is made and filled, cut off, or removed. */
async function changeSlot(
  device: SlotDevice,
  model: Model,
  how: {
    readonly slot: number
    readonly random: ReturnType<typeof seededRandom>
    readonly step: number
  },
): Promise<void> {
  const { slot, random, step } = how
  const content = model.contentOf(slot)
  if (content === undefined) {
    let segment: DeviceSegment | undefined
    const size = 16 * kib
    await model.change(slot, { size, fill: 0 }, async () => {
      segment = await device.create(slot, size)
    })
    // The first block alone: what is behind it is zeros, whatever else becomes of it.
    const fill = 1 + (step % 200)
    await model.change(slot, { size, fill }, async () => {
      await segment?.write([Buffer.alloc(512, fill)], 0)
      await segment?.sync()
    })
    return
  }
  const kept = content.size / 2
  if (kept >= 4096 && random.fraction() < 0.5) {
    const segment = await device.open(slot)
    await model.change(slot, { ...content, size: kept }, () => segment.trim(kept))
    return
  }
  await model.change(slot, undefined, () => device.remove(slot))
}

async function fillAndRemove(device: SlotDevice, slot: number): Promise<void> {
  const old = await device.create(slot, slotBytes)
  await old.write([Buffer.alloc(slotBytes, 0xcd)], 0)
  await old.sync()
  await old.close()
  await device.remove(slot)
}

interface Piece {
  readonly position: number
  readonly bytes: Buffer
}

function overlap(a: Piece, b: Piece): boolean {
  return a.position < b.position + b.bytes.length && b.position < a.position + a.bytes.length
}

async function readAll(segment: DeviceSegment): Promise<Buffer> {
  const bytes = Buffer.alloc(segment.size)
  expect(await segment.read(bytes, 0)).toBe(segment.size)
  return bytes
}
