import { beforeEach, describe, expect, it } from 'vitest'
import type { Device, DeviceSegment } from '../../src/device/device.ts'
import { ShortWriteError } from '../../src/device/errors.ts'
import { Chance } from '../../src/sim/chance.ts'
import type { EventQueue } from '../../src/sim/event-queue.ts'
import { SimDevice } from '../../src/sim/sim-device.ts'
import { type DiskFaults, noDiskFaults, SimDisk } from '../../src/sim/sim-disk.ts'
import { describeDevice } from '../device/device-contract.ts'
import { runningQueue } from './running-queue.ts'

const diskOn = (queue: EventQueue, faults: Partial<DiskFaults> = {}, seed = 1): SimDisk =>
  new SimDisk({
    name: 'simulated',
    queue,
    chance: new Chance(seed),
    latency: { readMs: 1, writeMs: 1, syncMs: 5 },
    faults: { ...noDiskFaults, ...faults },
    capacityBytes: 2 ** 24,
  })

describeDevice('SimDevice', async () => {
  const disk = diskOn(runningQueue(new Chance(1)))
  return {
    open: async () => new SimDevice(disk),
    remove: async () => undefined,
  }
})

const size = 64 * 1024
const block = (fill: number): Buffer => Buffer.alloc(4096, fill)

async function bytesOf(device: Device, length: number): Promise<Buffer> {
  const segment = await device.open(0)
  const target = Buffer.alloc(length)
  await segment.read(target, 0)
  return target
}

describe('a simulated disk whose power fails', () => {
  let queue: EventQueue
  let disk: SimDisk
  let segment: DeviceSegment
  beforeEach(async () => {
    queue = runningQueue(new Chance(1))
    disk = diskOn(queue)
    segment = await new SimDevice(disk).create(0, size)
  })

  it('has what was synced', async () => {
    await segment.write([block(7)], 0)
    await segment.sync()
    disk.crash()
    expect(await bytesOf(new SimDevice(disk), 4096)).toEqual(block(7))
  })

  it('loses, keeps and tears what was not, sector by sector', async () => {
    const outcomes = new Set<string>()
    for (let seed = 1; seed <= 40; seed++) {
      const other = diskOn(queue, {}, seed)
      const unsynced = await new SimDevice(other).create(0, size)
      await unsynced.write([block(7)], 0)
      other.crash()
      const found = await bytesOf(new SimDevice(other), 4096)
      const sectors = Array.from({ length: 8 }, (_, at) => found[at * 512] === 7)
      if (sectors.every((is) => is)) outcomes.add('kept')
      else outcomes.add(sectors.some((is) => is) ? 'torn' : 'lost')
    }
    expect([...outcomes].sort()).toEqual(['kept', 'lost', 'torn'])
  })

  it('keeps in memory what a killed process had written, until the power fails too', async () => {
    await segment.write([block(7)], 0)
    disk.kill()
    expect(await bytesOf(new SimDevice(disk), 4096)).toEqual(block(7))
  })

  it('never answers the dead process, and lets it change nothing', async () => {
    let answered = false
    const late = segment.write([block(9)], 0).finally(() => {
      answered = true
    })
    disk.kill()
    await queue.pause(1000)
    expect(answered).toBe(false)
    await new SimDevice(disk).remove(0)
    expect(disk.files.size).toBe(0)
    await Promise.race([late, queue.pause(1000)])
    expect(answered).toBe(false)
  })
})

describe('a simulated disk with faults', () => {
  it('fails with the codes of the system', async () => {
    const queue = runningQueue(new Chance(1))
    const segment = await new SimDevice(diskOn(queue)).create(0, size)
    await segment.close()
    const failing = async (faults: Partial<DiskFaults>): Promise<DeviceSegment> => {
      const disk = diskOn(queue)
      const made = await new SimDevice(disk).create(0, size)
      disk.faults = { ...noDiskFaults, ...faults }
      return made
    }
    await expect((await failing({ write: 1 })).write([block(1)], 0)).rejects.toThrow('EIO')
    await expect((await failing({ sync: 1 })).sync()).rejects.toThrow('EIO')
    await expect((await failing({ read: 1 })).read(Buffer.alloc(10), 0)).rejects.toThrow('EIO')
    const short = (await failing({ shortWrite: 1 })).write([block(1)], 0)
    await expect(short).rejects.toBeInstanceOf(ShortWriteError)
    const full = new SimDevice(diskOn(queue, { space: 1 })).create(0, size)
    await expect(full).rejects.toMatchObject({ code: 'ENOSPC' })
  })

  it('does not hold what a failed sync covered, whatever later syncs say', async () => {
    const queue = runningQueue(new Chance(1))
    let lost = 0
    for (let seed = 1; seed <= 20; seed++) {
      const disk = diskOn(queue, {}, seed)
      const segment = await new SimDevice(disk).create(0, size)
      await segment.write([block(7)], 0)
      disk.faults = { ...noDiskFaults, sync: 1 }
      await expect(segment.sync()).rejects.toThrow('EIO')
      disk.heal()
      await segment.sync()
      disk.crash()
      if (!(await bytesOf(new SimDevice(disk), 4096)).equals(block(7))) lost++
    }
    expect(lost).toBeGreaterThan(0)
  })
})
