import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { TestStore } from './open-store.ts'

const golden = join(import.meta.dirname, '../golden/format-1')

let folder: string | undefined
let store: TestStore | undefined
afterEach(async () => {
  await store?.remove()
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
})

async function unpack(): Promise<string> {
  folder = await mkdtemp(join(tmpdir(), 'comio-golden-'))
  for (const entry of await readdir(golden, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const copy = join(folder, 'volume', relative(golden, path).replace(/\.gz$/, ''))
    await mkdir(dirname(copy), { recursive: true })
    await writeFile(copy, gunzipSync(await readFile(path)))
  }
  return folder
}

describe('the golden volume of format 1', () => {
  it('opens without an index and holds everything that was put into it', async () => {
    store = await TestStore.openAt(await unpack(), { siteId: 'golden' })
    const { engine } = store
    expect(await store.keys('photos')).toEqual(['large', 'overwritten', 'small.txt'])
    expect((await store.get('photos', 'small.txt'))?.toString()).toBe('hello')
    expect((await store.get('photos', 'overwritten'))?.toString()).toBe('second')
    const large = Buffer.alloc(300_000, 'golden volume, format 1. ')
    expect((await store.get('photos', 'large'))?.equals(large)).toBe(true)
    expect(await store.keys('purged')).toEqual(['after'])
    expect((await engine.listBuckets()).map((bucket) => bucket.name)).toEqual([
      'empty',
      'photos',
      'purged',
    ])
    expect(await engine.previewPurge('photos')).toEqual({ count: 3, bytes: 300_011 })
  })

  it('takes writes and is read again after them', async () => {
    store = await TestStore.openAt(await unpack(), { siteId: 'golden' })
    await store.put('photos', 'new', 'today')
    await store.reopen()
    expect((await store.get('photos', 'new'))?.toString()).toBe('today')
    expect((await store.get('photos', 'small.txt'))?.toString()).toBe('hello')
  })
})
