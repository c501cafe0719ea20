import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { StorageFullError } from '../../src/store/model/errors.ts'
import type { TestStore } from './open-store.ts'

/** More than any volume of a test takes. */
const objectsMax = 20_000

/** Writes objects of `size` bytes until one is refused, `width` at a time; resolves to the keys that were stored. */
export async function fill(store: TestStore, size: number, width = 1): Promise<string[]> {
  const stored: string[] = []
  let full = false
  let next = 0
  const write = async (): Promise<void> => {
    while (!full && next < objectsMax) {
      const key = `k${next++}`
      try {
        await store.put('photos', key, randomBytes(size))
        stored.push(key)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(StorageFullError)
        full = true
      }
    }
  }
  await Promise.all(Array.from({ length: width }, write))
  expect(full).toBe(true)
  return stored
}
