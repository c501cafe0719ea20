import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { MemoryIndex } from '../../src/index/memory-index.ts'
import { MemoryStore } from './memory-store.ts'

let store: MemoryStore

beforeEach(async () => {
  const segmentBytes = 1024 * 1024
  store = await MemoryStore.open({ segmentBytes, capacityBytes: 16 * segmentBytes, reclaim: {} })
})
afterEach(async () => {
  vi.restoreAllMocks()
  await store.close()
})

/** How many cursors are open whenever the index is written. */
function watchCursors(): readonly number[] {
  const { iterate, write } = MemoryIndex.prototype
  const atWrites: number[] = []
  let open = 0
  vi.spyOn(MemoryIndex.prototype, 'iterate').mockImplementation(function (
    this: MemoryIndex,
    range,
  ) {
    const cursor = iterate.call(this, range)
    const close = cursor.close.bind(cursor)
    open++
    cursor.close = async () => {
      open--
      await close()
    }
    return cursor
  })
  vi.spyOn(MemoryIndex.prototype, 'write').mockImplementation(function (this: MemoryIndex, batch) {
    atWrites.push(open)
    return write.call(this, batch)
  })
  return atWrites
}

it('sweeps a purge without a cursor that the writing of its batches might have to wait for', async () => {
  const keys = Array.from({ length: 1200 }, (_, at) => `photo-${at}`)
  await Promise.all(keys.map((key) => store.put(key, Buffer.from(key))))
  const atWrites = watchCursors()
  expect(await store.engine.purgeBucket('photos')).toMatchObject({ count: keys.length })
  // The next one waits for the sweep.
  expect(await store.engine.purgeBucket('photos')).toMatchObject({ count: 0 })
  expect(await store.engine.totals()).toEqual({ count: 0, bytes: 0 })
  expect(atWrites.length).toBeGreaterThan(3)
  expect(Math.max(...atWrites)).toBe(0)
})
