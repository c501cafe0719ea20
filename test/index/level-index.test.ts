import { chmod, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import {
  IndexCorruptError,
  IndexInUseError,
  IndexOpenError,
  IndexReadError,
  IndexWriteError,
} from '../../src/index/errors.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import type { IndexOperation } from '../../src/index/ordered-index.ts'
import { describeOrderedIndex } from './ordered-index-contract.ts'

describeOrderedIndex('LevelIndex', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  return {
    open: () => LevelIndex.open({ path: join(folder, 'index') }),
    remove: () => rm(folder, { recursive: true }),
  }
})

describe('LevelIndex: its folder', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

  it('is the owner’s alone, newly made or left open by an earlier version', async () => {
    const path = join(folder, 'a', 'index')
    await (await LevelIndex.open({ path })).close()
    expect([await modeOf(path), await modeOf(join(folder, 'a'))]).toEqual([0o700, 0o700])
    await chmod(path, 0o755)
    await (await LevelIndex.open({ path })).close()
    expect(await modeOf(path)).toBe(0o700)
  })

  it('that cannot be made is said so, although its parent is there', async () => {
    await expect(LevelIndex.open({ path: '/proc/comio' })).rejects.toThrow(IndexOpenError)
  })
})

describe('LevelIndex: a disk that fails', () => {
  let folder: string
  const random = seededRandom(1)

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  /** A batch of 2 MiB that does not compress. */
  const largeBatch = (name: string): readonly IndexOperation[] =>
    [0, 1].map((i) => ({
      type: 'put',
      key: Buffer.from(`${name}/${i}`),
      value: random.bytes(2 ** 20),
    }))

  it('fails the write, and does so again, when LevelDB can make no new file', async () => {
    const index = await LevelIndex.open({ path: join(folder, 'index') })
    await rm(join(folder, 'index'), { recursive: true })
    let last: readonly IndexOperation[] = []
    const writeMuch = async () => {
      for (let i = 0; i < 20; i++) {
        last = largeBatch(`batch-${i}`)
        await index.write(last)
      }
    }
    await expect(writeMuch()).rejects.toThrow(IndexWriteError)
    await expect(index.write(last)).rejects.toThrow(IndexWriteError)
    await index.close()
  })

  it('says that it cannot be read when a table has become unreadable', async () => {
    const index = await LevelIndex.open({ path: folder })
    for (let i = 0; i < 12; i++) await index.write(largeBatch(`batch-${i}`))
    await index.close()
    const tables = (await readdir(folder)).filter((name) => name.endsWith('.ldb'))
    for (const name of tables) await writeFile(join(folder, name), Buffer.alloc(8192))
    const broken = await LevelIndex.open({ path: folder })
    expect(() => broken.get(Buffer.from('batch-0/0'))).toThrow(IndexReadError)
    // LevelDB goes on with what it can read and reports the rest when it comes to the end.
    const cursor = broken.iterate({ gte: Buffer.from('a'), lt: Buffer.from('z') })
    const readAll = async () => {
      while ((await cursor.next(10)).length > 0);
    }
    await expect(readAll()).rejects.toThrow(IndexReadError)
    await cursor.close()
    await broken.close()
  })
})

describe('LevelIndex: opening', () => {
  let folder: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('makes the folders that are missing', async () => {
    const index = await LevelIndex.open({ path: join(folder, 'a', 'b') })
    await index.close()
    expect(await readdir(join(folder, 'a', 'b'))).toContain('CURRENT')
  })

  it('says in use, with the path and a hint, when it is open elsewhere', async () => {
    const index = await LevelIndex.open({ path: folder })
    const error = await LevelIndex.open({ path: folder }).catch((thrown: unknown) => thrown)
    await index.close()
    expect(error).toBeInstanceOf(IndexInUseError)
    expect(error).toMatchObject({ code: 'INDEX_IN_USE', facts: { path: folder } })
  })

  it('says corrupt when its files contradict each other', async () => {
    const index = await LevelIndex.open({ path: folder })
    await index.write([{ type: 'put', key: Buffer.of(1), value: Buffer.of(2) }])
    await index.close()
    const manifest = (await readdir(folder)).find((name) => name.startsWith('MANIFEST'))
    await truncate(join(folder, manifest ?? ''), 3)
    const error = await LevelIndex.open({ path: folder }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(IndexCorruptError)
    expect(error).toBeInstanceOf(IndexOpenError)
    expect(error).toMatchObject({ code: 'INDEX_CORRUPT' })
  })

  it('says that it cannot be opened where the path is a file', async () => {
    await writeFile(join(folder, 'file'), '')
    const error = await LevelIndex.open({ path: join(folder, 'file') }).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(IndexOpenError)
    expect(error).toMatchObject({ code: 'INDEX_OPEN_FAILED' })
  })

  it('can be opened again after an attempt that failed', async () => {
    const index = await LevelIndex.open({ path: folder })
    await expect(LevelIndex.open({ path: folder })).rejects.toThrow(IndexInUseError)
    await index.close()
    const again = await LevelIndex.open({ path: folder })
    await again.close()
  })
})
