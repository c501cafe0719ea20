import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { StorageFullError } from '../../src/store/model/errors.ts'
import { fill } from './fill.ts'
import { MemoryStore } from './memory-store.ts'
import { TestStore } from './open-store.ts'

const kib = 1024
const segmentBytes = 64 * kib
const capacityBytes = 10 * segmentBytes
/** For what happens in the background: an upper bound, not a measure. */
const patience = { timeout: 60_000 }
let store: TestStore
beforeEach(async () => {
  store = await TestStore.open({ capacityBytes, segmentBytes })
})
afterEach(() => store.remove())

/** Deletes them, `width` at a time. */
async function remove(keys: readonly string[], width = 1): Promise<void> {
  const left = [...keys]
  const work = async (): Promise<void> => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) {
      expect(await store.engine.deleteObject({ bucket: 'photos', key })).toBe(true)
    }
  }
  await Promise.all(Array.from({ length: width }, work))
}

/** In an order that has nothing to do with where they lie. */
function mixed(keys: readonly string[]): string[] {
  const order = (key: string): number => (Number(key.slice(1)) * 7919) % 1009
  return [...keys].sort((a, b) => order(a) - order(b))
}

async function expectRoomFor(count: number, size: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await vi.waitFor(() => store.put('photos', `again${i}`, randomBytes(size)), patience)
  }
}

function usedBytes(): number {
  return store.volume.usage().usedBytes
}

describe('a volume that is full of small objects', () => {
  it('takes every delete from one client, in order, and has its room again', async () => {
    const stored = await fill(store, 3000)
    await remove([...stored].reverse())
    await expectRoomFor(Math.floor(stored.length / 2), 3000)
  })

  it('takes every delete in any order, and no more than its capacity', async () => {
    const stored = await fill(store, 3000)
    for (const key of mixed(stored)) {
      await remove([key])
      expect(usedBytes()).toBeLessThanOrEqual(capacityBytes)
    }
    expect(await store.keys('photos')).toEqual([])
    await expectRoomFor(Math.floor(stored.length / 2), 3000)
  })

  it('takes every delete from 16 clients, also of objects hardly larger than their trace', async () => {
    const stored = await fill(store, 100, 16)
    await remove(mixed(stored), 16)
    expect(await store.keys('photos')).toEqual([])
    await expectRoomFor(Math.floor(stored.length / 8), 100)
  })

  it('takes a purge when no delete is possible any more', async () => {
    const stored = await fill(store, 3000)
    await remove(mixed(stored).slice(0, stored.length / 2))
    expect(await store.engine.purgeBucket('photos')).toMatchObject({
      count: stored.length - Math.floor(stored.length / 2),
    })
    await expectRoomFor(Math.floor(stored.length / 2), 3000)
  })

  it('makes no bucket any more, and answers for those that it has', async () => {
    const stored = await fill(store, 3000)
    const makeMany = async (): Promise<void> => {
      for (let i = 0; i < 1000; i++) await store.engine.createBucket(`another-${i}`)
    }
    await expect(makeMany()).rejects.toThrow(StorageFullError)
    expect(await store.engine.createBucket('photos')).toBe(false)
    await remove(stored)
  })

  it('takes deletes again however often it is started while full', async () => {
    const stored = mixed(await fill(store, 3000))
    for (let round = 0; round < 4; round++) await store.reopen()
    await remove(stored.splice(0, 20))
    for (let round = 0; round < 4; round++) await store.reopen()
    await remove(stored)
    await expectRoomFor(50, 3000)
    expect(usedBytes()).toBeLessThanOrEqual(capacityBytes)
  })

  it('keeps what is not deleted, with its bytes, when its records were moved', async () => {
    const stored = await fill(store, 300, 4)
    const kept = stored.filter((_, at) => at % 8 === 0)
    const before = new Map<string, Buffer | undefined>()
    for (const key of kept) before.set(key, await store.get('photos', key))
    await remove(mixed(stored.filter((_, at) => at % 8 !== 0)), 4)
    const check = async (): Promise<void> => {
      expect(await store.keys('photos')).toEqual([...kept].sort())
      for (const key of kept) expect(await store.get('photos', key)).toEqual(before.get(key))
    }
    await check()
    await store.reopen()
    await check()
    await store.loseIndex()
    await check()
  })
})

describe('an index that is built again from a log with moved records', () => {
  it('has the same deletions, floors and places, and nothing comes back', async () => {
    await store.put('other', 'a', 'x')
    await store.engine.purgeBucket('other')
    await store.put('other', 'b', 'y')
    const stored = await fill(store, 3000)
    await remove(mixed(stored))
    await store.put('photos', stored[0] ?? '', 'again')
    const before = await places()
    await store.loseIndex()
    await store.engine.deleteBucket('other').catch((thrown: unknown) => thrown) // waits for the sweep
    expect(await places()).toEqual(before)
    expect(await store.keys('photos')).toEqual([stored[0]])
    expect(await store.keys('other')).toEqual(['b'])
  })

  it('gives every remote all that it has to get, once', async () => {
    await store.engine.ledger('there')
    const stored = await fill(store, 3000)
    await remove(mixed(stored))
    await store.loseIndex()
    const ledger = await store.engine.ledger('there')
    expect(ledger.counters().pending).toBe((await places()).length)
  })
})

async function places(): Promise<readonly unknown[]> {
  const found = await store.engine.feed.readPlaces(0, 100_000)
  return found.map(({ seq, slot, version, bytes }) => ({ seq, slot, version, bytes }))
}

describe('a volume that is 85% live', () => {
  const volume = { segmentBytes: 128 * kib, capacityBytes: 64 * 128 * kib, reclaim: {} }

  it('stays writable through overwrites without end, of both streams, and keeps every byte', async () => {
    const memory = await MemoryStore.open(volume)
    const random = seededRandom(3)
    const pool = Buffer.from(random.bytes(512 * kib))
    const sizes = [2, 5, 8, 16, 31, 48].map((size) => size * kib)
    const contents: Buffer[] = []
    const write = async (at: number): Promise<void> => {
      const size = sizes[at % sizes.length] ?? 0
      const from = randomBelow(random, pool.length - size)
      const content = pool.subarray(from, from + size)
      contents[at] = content
      await memory.put(`k${at}`, content)
    }
    while (memory.volume.usage().usedBytes < 0.85 * volume.capacityBytes) {
      await write(contents.length)
    }
    const { writtenBytes } = memory.volume
    for (let written = 0; written < 2 * volume.capacityBytes; ) {
      const some = new Set(Array.from({ length: 4 }, () => randomBelow(random, contents.length)))
      await Promise.all([...some].map(write))
      for (const at of some) written += contents[at]?.length ?? 0
      expect(memory.volume.usage().usedBytes).toBeLessThanOrEqual(volume.capacityBytes)
    }
    const { movedBytes } = memory.engine.reclaimed
    const ownBytes = memory.volume.writtenBytes - writtenBytes - movedBytes
    expect(movedBytes).toBeGreaterThan(ownBytes / 4)
    expect(movedBytes).toBeLessThan(15 * ownBytes)
    await memory.loseIndex()
    for (const [at, content] of contents.entries()) {
      expect((await memory.get(`k${at}`))?.equals(content)).toBe(true)
    }
    await memory.close()
  })
})
