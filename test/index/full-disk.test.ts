/** The index on a real disk that somebody else fills. Mounting one needs root: else it is skipped, and says so. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { IndexReadError, IndexViewError, IndexWriteError } from '../../src/index/errors.ts'
import { linkIndexFiles } from '../../src/index/index-copy.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import type { IndexOperation } from '../../src/index/ordered-index.ts'
import { SharedIndex } from '../../src/index/shared-index.ts'
import { ManualClock, settleTasks } from '../replication/manual-clock.ts'
import { mountSmallDisk, takeTheRest, unmountSmallDisk } from '../small-disk.ts'

const mib = 2 ** 20
const random = seededRandom(1)

let folder: string
let reason: string | undefined
let clock: ManualClock
let index: LevelIndex

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  reason = mountSmallDisk(folder, 96 * mib)
  clock = new ManualClock()
  index = await LevelIndex.open({ path: join(folder, 'index'), lasting: { clock, random } })
})

afterEach(async () => {
  await index.close()
  if (reason === undefined) unmountSmallDisk(folder)
  else process.stderr.write(`the index on a full disk is skipped: ${reason}\n`)
  await rm(folder, { recursive: true })
})

const keyOf = (at: number): Buffer => Buffer.from(`key/${String(at).padStart(4, '0')}`)

/** Of 64 KiB, that do not compress; each also says which one was the last. */
const batchOf = (at: number): readonly IndexOperation[] => [
  { type: 'put', key: keyOf(at), value: random.bytes(mib / 16) },
  { type: 'put', key: Buffer.from('last'), value: keyOf(at) },
]

/** Writes until that fails; returns the batch that did. */
async function writeUntilFailure(from: number) {
  for (let at = from; at < 400; at++) {
    const batch = batchOf(at)
    try {
      await index.write(batch)
    } catch (thrown) {
      return { at, batch, thrown }
    }
  }
  throw new Error('the disk does not become full')
}

function expectThere(from: number, to: number): void {
  for (let at = from; at < to; at++) expect(index.get(keyOf(at))?.length).toBe(mib / 16)
  expect(index.get(Buffer.from('last'))).toEqual(keyOf(to - 1))
}

it('goes on out of its reserve, is read while it cannot be written, and goes on when there is room', async () => {
  if (reason !== undefined) return
  for (let at = 0; at < 4; at++) await index.write(batchOf(at))
  expect(index.isShort).toBe(false)
  const giveBack = await takeTheRest(folder)
  await index.write(batchOf(4))
  expect(index.isShort).toBe(true)

  await takeTheRest(folder)
  const cursor = index.iterate({ gte: keyOf(0), lt: keyOf(9999) })
  expect(await cursor.next(1)).toHaveLength(1)
  const { at, batch, thrown } = await writeUntilFailure(5)
  expect(thrown).toBeInstanceOf(IndexWriteError)
  expect((thrown as IndexWriteError).isForRoom).toBe(true)
  await expect(index.write(batch)).rejects.toThrow(IndexWriteError)
  expectThere(0, at)

  await giveBack()
  const written = index.write(batch)
  // A cursor from before is waited for, and reads what it would have read.
  let count = 1
  for (let more = await cursor.next(1); more.length > 0; more = await cursor.next(1)) count++
  await cursor.close()
  expect(count).toBe(5)
  await written
  await index.write(batchOf(at + 1))
  expectThere(0, at + 2)
  clock.advance(1000)
  expect(index.isShort).toBe(true)
  await index.close()
  expect(await readdir(join(folder, 'index'))).toEqual(expect.arrayContaining(['RESERVE']))
  expect(await readdir(join(folder, 'index'))).not.toContain('view')
  index = await LevelIndex.open({ path: join(folder, 'index'), lasting: { clock, random } })
  expect(index.isShort).toBe(false)
  expectThere(0, at + 2)
})

it('opens out of its reserve on a disk that became full meanwhile', async () => {
  if (reason !== undefined) return
  for (let at = 0; at < 24; at++) await index.write(batchOf(at))
  await index.close()
  await takeTheRest(folder)
  index = await LevelIndex.open({ path: join(folder, 'index'), lasting: { clock, random } })
  expect(index.isShort).toBe(true)
  expectThere(0, 24)
  await index.write(batchOf(24))
})

it('is opened anew once every thread that shares it has left, and they find what is written then', async () => {
  if (reason !== undefined) return
  await index.close()
  const path = join(folder, 'index')
  const steps: string[] = []
  const readers = {
    leave: async () => {
      await before.close()
      steps.push('left')
    },
    enter: () => steps.push('may enter'),
  }
  index = await LevelIndex.open({ path, readers, lasting: { clock, random } })
  const before = await SharedIndex.open(path)
  for (let at = 0; at < 4; at++) await index.write(batchOf(at))
  expect(before.get(Buffer.from('last'))).toEqual(keyOf(3))
  expect(steps).toEqual([])
  await takeTheRest(folder)
  await index.write(batchOf(4))
  expect(steps).toEqual(['left', 'may enter'])
  const after = await SharedIndex.open(path)
  await index.write(batchOf(5))
  expect(after.get(Buffer.from('last'))).toEqual(keyOf(5))
  await after.close()
})

it('goes on where the file system makes no hard links, too', async () => {
  if (reason !== undefined) return
  await index.close()
  let asked = 0
  const linkFile = async (): Promise<never> => {
    asked++
    throw Object.assign(new Error('operation not permitted, link'), { code: 'EPERM' })
  }
  index = await LevelIndex.open({
    path: join(folder, 'index'),
    lasting: { clock, random, linkFile },
  })
  for (let at = 0; at < 4; at++) await index.write(batchOf(at))
  await takeTheRest(folder)
  await index.write(batchOf(4))
  expect(index.isShort).toBe(true)
  await index.write(batchOf(5))
  expectThere(0, 6)
  expect(asked).toBeGreaterThan(0)
  await index.close()
  expect(await readdir(join(folder, 'index'))).not.toContain('view')
})

it('says so where its files can neither be linked nor, for their size, copied', async () => {
  const source = join(folder, 'source')
  const target = join(folder, 'target')
  await mkdir(source)
  for (const name of ['CURRENT', 'MANIFEST-000004', '000003.log', '000005.ldb']) {
    await writeFile(join(source, name), name)
  }
  const linkFile = async (): Promise<never> => {
    throw Object.assign(new Error('operation not supported, link'), { code: 'ENOTSUP' })
  }
  await expect(linkIndexFiles(source, target, { linkFile, copyMax: 20 })).rejects.toThrow(
    IndexViewError,
  )
  expect(await readdir(folder)).not.toContain('target')
  await linkIndexFiles(source, target, { linkFile, copyMax: 60 })
  expect(await readFile(join(target, '000005.ldb'), 'utf8')).toBe('000005.ldb')
})

it('waits for those who read only so long, and they are told that they have to begin anew', async () => {
  if (reason !== undefined) return
  await index.write(batchOf(0))
  const giveBack = await takeTheRest(folder)
  await index.write(batchOf(1))
  await takeTheRest(folder)
  const cursor = index.iterate({ gte: keyOf(0), lt: keyOf(9999) })
  const { at, batch } = await writeUntilFailure(2)
  await giveBack()
  const written = index.write(batch)
  while (!clock.isAwaited) await settleTasks()
  expectThere(0, at)
  clock.advance(10_000)
  await written
  await expect(cursor.next(1)).rejects.toThrow(IndexReadError)
  await cursor.close()
  expectThere(0, at + 1)
})
