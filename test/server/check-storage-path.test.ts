import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StoragePathError } from '../../src/device/errors.ts'
import { checkIndexPath, checkStoragePath } from '../../src/server/storage/check-storage-path.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-path-'))
})

afterEach(() => rm(folder, { recursive: true }))

describe('the storage path', () => {
  it('may be absent, empty, a volume, or a fresh file system', async () => {
    await checkStoragePath(join(folder, 'absent'), join(folder, 'absent/index'))
    await checkStoragePath(folder, join(folder, 'index'))
    await mkdir(join(folder, 'lost+found'))
    await mkdir(join(folder, 'segments'))
    await mkdir(join(folder, 'index'))
    // Of a first start that was cut off.
    for (const name of ['superblock.tmp', 'role', 'role.tmp', 'revoked-tokens.json']) {
      await writeFile(join(folder, name), '')
    }
    await checkStoragePath(folder, join(folder, 'index'))
    await writeFile(join(folder, 'superblock'), '')
    await writeFile(join(folder, 'notes.txt'), '')
    await checkStoragePath(folder, join(folder, 'index'))
  })

  it('may not hold other things', async () => {
    await writeFile(join(folder, 'thesis.doc'), '')
    const checking = checkStoragePath(folder, join(folder, 'index'))
    await expect(checking).rejects.toThrow(StoragePathError)
    await expect(checking).rejects.toMatchObject({
      message: expect.stringContaining(folder),
      hint: expect.stringContaining('--storage'),
    })
  })

  it('takes no folder called index for the index when that is elsewhere', async () => {
    await mkdir(join(folder, 'index'))
    await expect(checkStoragePath(folder, '/srv/index')).rejects.toThrow(StoragePathError)
  })
})

describe('the index path', () => {
  it('may be absent, empty or an index', async () => {
    await checkIndexPath(join(folder, 'absent'))
    await checkIndexPath(folder)
    for (const name of ['CURRENT', 'LOCK', 'LOG', 'LOG.old', 'MANIFEST-000004', '000005.ldb']) {
      await writeFile(join(folder, name), '')
    }
    await checkIndexPath(folder)
  })

  it('may not hold other things, since it may be moved aside', async () => {
    await writeFile(join(folder, 'thesis.doc'), '')
    await expect(checkIndexPath(folder)).rejects.toThrow(StoragePathError)
  })
})
