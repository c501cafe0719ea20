/** A store whose index lies on a small disk of its own, which somebody else fills. Skipped, and said so, without root. */
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { NotYet, until } from '../e2e/until.ts'
import { mountSmallDisk, takeTheRest, unmountSmallDisk } from '../small-disk.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
let indexPath: string
let reason: string | undefined

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'comio-store-'))
  indexPath = join(folder, 'index')
  await mkdir(indexPath)
  reason = mountSmallDisk(indexPath, 64 * 2 ** 20)
  store = await TestStore.openAt(folder, { lasting: true })
})

afterEach(async () => {
  await store.close()
  if (reason === undefined) unmountSmallDisk(indexPath)
  else process.stderr.write(`a full disk of the index is skipped: ${reason}\n`)
  await store.remove()
})

const remove = (at: number): Promise<boolean> =>
  store.engine.deleteObject({ bucket: 'photos', key: String(at) })

const isThere = (at: number): boolean =>
  store.engine.headObject({ bucket: 'photos', key: String(at) }) !== undefined

/** Deletes until one is refused; returns which. */
async function deleteUntilRefused(from: number, to: number): Promise<number> {
  for (let at = from; at < to; at++) {
    try {
      await remove(at)
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'INDEX_FULL' })
      return at
    }
  }
  throw new Error('the disk does not become full')
}

it('refuses writes, deletes out of the reserve, reads on when that is spent, and goes on when there is room', async () => {
  if (reason !== undefined) return
  for (let at = 0; at < 400; at++) await store.put('photos', String(at), `photo ${at}`)
  await store.put('purged', 'a', 'b')
  const giveBack = await takeTheRest(indexPath)
  for (let at = 0; at < 100; at++) expect(await remove(at)).toBe(true)
  await store.engine.purgeBucket('purged')
  await expect(store.put('photos', 'new', 'x')).rejects.toMatchObject({ code: 'INDEX_FULL' })
  expect(store.engine.health()).toMatchObject({
    writable: true,
    reasons: ['the disk of the index is full: writes are answered 507, reads and deletes go on'],
  })

  await takeTheRest(indexPath)
  const refused = await deleteUntilRefused(100, 300)
  expect(store.engine.health()).toMatchObject({
    writable: false,
    reasons: ['the disk of the index has no room for writes; reads go on'],
  })
  expect(isThere(refused - 1)).toBe(false)
  expect(isThere(refused)).toBe(true)
  expect(await store.get('photos', '399')).toEqual(Buffer.from('photo 399'))
  await expect(store.engine.purgeBucket('photos')).rejects.toMatchObject({ code: 'INDEX_FULL' })
  expect(await store.keys('photos')).toHaveLength(400 - refused)

  await giveBack()
  await until('the index is written again', async () => {
    const { writable, reasons } = store.engine.health()
    return writable || new NotYet(reasons)
  })
  // What was refused while it was under way was in the log, and counts now.
  expect(isThere(refused)).toBe(false)
  expect(await remove(refused)).toBe(false)
  expect(await remove(refused + 1)).toBe(true)
  expect(await store.keys('photos')).toHaveLength(400 - refused - 2)
  await store.reopen()
  expect(await store.keys('photos')).toHaveLength(400 - refused - 2)
})
