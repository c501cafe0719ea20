import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IndexCorruptError, IndexInUseError, IndexOpenError } from '../../src/index/errors.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { describeOrderedIndex } from './ordered-index-contract.ts'

describeOrderedIndex('LevelIndex', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  return {
    open: () => LevelIndex.open({ path: join(folder, 'index') }),
    remove: () => rm(folder, { recursive: true }),
  }
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
