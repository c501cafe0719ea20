import { describe, expect, it, vi } from 'vitest'
import type { Device, DeviceSegment } from '../../src/device/device.ts'
import { HandleCache } from '../../src/volume/segments/handle-cache.ts'
import { FaultyDisk } from './faulty-disk.ts'

/** A disk with `count` segments that counts what is open. */
async function countingDevice(count: number): Promise<{
  readonly device: Device
  readonly open: Set<number>
  opened: number
}> {
  const disk = new FaultyDisk()
  for (let slot = 0; slot < count; slot++) await disk.create(slot, 4096)
  const counted = { device: disk as Device, open: new Set<number>(), opened: 0 }
  const openSegment = disk.open.bind(disk)
  disk.open = async (slot: number): Promise<DeviceSegment> => {
    const segment = await openSegment(slot)
    counted.opened++
    counted.open.add(slot)
    segment.close = async () => {
      counted.open.delete(slot)
    }
    return segment
  }
  return counted
}

describe('The cache of open segments', () => {
  it('opens a segment once, however many want it at a time', async () => {
    const counted = await countingDevice(1)
    const cache = new HandleCache(counted.device, 2)
    const handles = await Promise.all([cache.acquire(0), cache.acquire(0), cache.acquire(0)])
    expect(new Set(handles).size).toBe(1)
    expect(counted.opened).toBe(1)
    for (const _ of handles) cache.release(0)
    expect(cache.tryAcquire(0)).toBe(handles[0])
  })

  it('closes the least recently used one to make room', async () => {
    const counted = await countingDevice(3)
    const cache = new HandleCache(counted.device, 2)
    for (const slot of [0, 1, 0, 2]) {
      await cache.acquire(slot)
      cache.release(slot)
    }
    expect([...counted.open].sort()).toEqual([0, 2])
    expect(cache.size).toBe(2)
  })

  it('never closes one in use: who wants another waits for the first release', async () => {
    const counted = await countingDevice(3)
    const cache = new HandleCache(counted.device, 2)
    await cache.acquire(0)
    await cache.acquire(1)
    let got = false
    const waiting = cache.acquire(2).then(() => {
      got = true
    })
    await Promise.resolve()
    expect(got).toBe(false)
    expect([...counted.open]).toEqual([0, 1])
    cache.release(1)
    await waiting
    expect([...counted.open]).toEqual([0, 2])
  })

  it('forgets a segment that could not be opened', async () => {
    const counted = await countingDevice(1)
    const cache = new HandleCache(counted.device, 1)
    await expect(cache.acquire(7)).rejects.toThrow('ENOENT')
    expect(cache.size).toBe(0)
    await cache.acquire(0)
  })

  it('closes all', async () => {
    const counted = await countingDevice(3)
    const cache = new HandleCache(counted.device, 8)
    for (const slot of [0, 1, 2]) {
      await cache.acquire(slot)
      cache.release(slot)
    }
    await cache.evict(1)
    expect([...counted.open]).toEqual([0, 2])
    await cache.close()
    expect(counted.open.size).toBe(0)
  })

  it('is closed when the last read that is under way has ended', async () => {
    const counted = await countingDevice(2)
    const cache = new HandleCache(counted.device, 8)
    for (const slot of [0, 1, 1]) await cache.acquire(slot)
    const closing = cache.close()
    cache.release(1)
    cache.release(0)
    await vi.waitFor(() => expect([...counted.open]).toEqual([1]), 20_000)
    cache.release(1)
    await closing
    expect(counted.open.size).toBe(0)
  })
})
