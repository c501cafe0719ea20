import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { CorruptObjectError } from '../../src/store/model/errors.ts'
import type { OpenObject } from '../../src/store/model/object-store.ts'
import { TestStore } from './open-store.ts'
import { spoil } from './spoil.ts'

let store: TestStore

beforeEach(async () => {
  store = await TestStore.open()
})

afterEach(() => store.remove())

function open(key: string): OpenObject {
  const object = store.engine.openObject({ bucket: 'box', key })
  if (object === undefined) throw new Error(`${key} is not there`)
  return object
}

it('a small object is read at once; a damaged one is not, and the read that is waited for says why', async () => {
  const body = Buffer.alloc(4096, 'small and sound')
  await store.put('box', 'small', body)
  const object = open('small')
  expect(object.readNow()?.equals(body)).toBe(true)
  await spoil(join(store.folder, 'volume'), body)
  expect(object.readNow()).toBeUndefined()
  await expect(object.readWhole()).rejects.toThrow(CorruptObjectError)
  object.close()
})

it('a large object is never read at once', async () => {
  await store.put('box', 'large', Buffer.alloc(900_000, 'x'))
  const object = open('large')
  expect(object.readNow()).toBeUndefined()
  expect((await object.readWhole()).length).toBe(900_000)
  object.close()
})
