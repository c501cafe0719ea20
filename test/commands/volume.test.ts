import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { acquireVolumeLock } from '../../src/device/volume-lock.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { recordKindNames } from '../../src/server/offline/record-document.ts'
import { changeKey, objectKey } from '../../src/store/tables/keys.ts'
import { runHere } from '../cli/run-comio.ts'
import { TestStore } from '../store/open-store.ts'
import { spoil } from '../store/spoil.ts'
import { loadCommands } from './load-commands.ts'

let store: TestStore
let config: string

/** A closed volume with small and large objects, an overwrite and a delete. */
beforeEach(async () => {
  store = await TestStore.open({ segmentBytes: 2 ** 17, siteId: 'site-a' })
  config = join(store.folder, 'config.yaml')
  const paths = {
    storage_path: join(store.folder, 'volume'),
    index_path: join(store.folder, 'index'),
  }
  await writeFile(config, JSON.stringify({ server: paths }))
  await store.put('photos', 'small', 'first')
  await store.put('photos', 'small', 'second')
  await store.put('photos', 'evil\u001b[2Jname', 'x')
  await store.put('photos', 'large', Buffer.alloc(300_000, 'large'))
  await store.put('photos', 'gone', 'x')
  await store.engine.deleteObject({ bucket: 'photos', key: 'gone' })
  await store.close()
})
afterEach(() => store.remove())

/** Every file below the store's folder, by path and content. */
async function snapshot(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  for (const entry of await readdir(store.folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) files.set(path, (await readFile(path)).toString('latin1'))
  }
  return files
}

/** Turns over a bit of the bytes in which `what` stands. */
async function spoilVolume(what: string): Promise<void> {
  await spoil(join(store.folder, 'volume', 'segments'), Buffer.from(what))
}

describe('volume info', () => {
  test('tells what the volume is and what of it is alive, and changes nothing', async () => {
    const before = await snapshot()
    const { code, stdout, stderr } = await runHere(['volume', 'info', '--config', config])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^ +site +site-a$/m)
    expect(stdout).toMatch(/^ +log +1 segment \(1 open\), 128 KiB/m)
    expect(stdout).toMatch(/^ +feed +head 7, 5 places$/m)
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    const { stdout: json } = await runHere(['volume', 'info', '--config', config, '--json'])
    const info = JSON.parse(json)
    expect(info).toMatchObject({
      format: 1,
      site_id: 'site-a',
      in_use_by: null,
      log: { open: 1, live_records: 5 },
      index: { state: 'sound', feed_head: 7 },
      problems: [],
    })
    expect(info.log.live_bytes + info.log.dead_bytes).toBe(info.log.written_bytes)
    expect(await snapshot()).toEqual(before)
  })

  test('tells what it can without index and superblock', async () => {
    await rm(join(store.folder, 'index'), { recursive: true })
    await writeFile(join(store.folder, 'volume', 'superblock'), 'XX', { flag: 'r+' })
    const { code, stdout, stderr } = await runHere(['volume', 'info', '--config', config])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^volume [0-9a-f]{32}$/m)
    expect(stderr).toContain('there is no index at')
    expect(stderr).toContain('the superblock of')
  })

  test('says which process runs on the volume, and leaves the index alone', async () => {
    const asked = ['volume', 'info', '--config', config, '--json']
    const volumeId = JSON.parse((await runHere(asked)).stdout).volume_id
    const lock = await acquireVolumeLock({ volumeId, clock: systemClock })
    try {
      const { code, stdout } = await runHere(asked)
      expect(code).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({
        in_use_by: process.pid,
        index: { state: 'in use', feed_head: null },
      })
    } finally {
      await lock.release()
    }
  })

  test('refuses a path at which there is no volume, and makes none', async () => {
    const path = join(store.folder, 'nothing')
    const { code, stderr } = await runHere(['volume', 'info', '--storage', path])
    expect(code).toBe(2)
    expect(stderr).toContain('there is no volume')
    await mkdir(join(path, 'segments'), { recursive: true })
    expect((await runHere(['volume', 'info', '--storage', path])).code).toBe(1)
    expect(await readdir(path)).toEqual(['segments'])
  })
})

describe('volume dump', () => {
  const dump = (...flags: string[]) => runHere(['volume', 'dump', '--config', config, ...flags])
  const documentsOf = (stdout: string) =>
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))

  test('prints the golden volume of format 1 as it always has', async () => {
    const golden = join(import.meta.dirname, '../golden')
    const folder = join(store.folder, 'golden')
    await mkdir(join(folder, 'segments'), { recursive: true })
    const names = await readdir(join(golden, 'format-1', 'segments'))
    for (const name of ['superblock.gz', ...names.map((name) => join('segments', name))]) {
      const bytes = gunzipSync(await readFile(join(golden, 'format-1', name)))
      await writeFile(join(folder, name.replace(/\.gz$/, '')), bytes)
    }
    const { code, stdout, stderr } = await runHere(['volume', 'dump', '--storage', folder])
    expect(stdout).toBe(await readFile(join(golden, 'format-1.dump.txt'), 'utf8'))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('prints nothing that a terminal would obey, and JSON that says the same', async () => {
    const text = await dump('--key', 'photos/evil\u001b[2Jname')
    expect(text.stdout).toContain('photos/evil\\u{1b}[2Jname')
    const json = await dump('--json', '--kind', 'put')
    expect(text.stdout + json.stdout).not.toMatch(/[^\n\P{Cc}]/u)
    const keys = documentsOf(json.stdout).flatMap(({ key }) => key ?? [])
    expect(keys).toEqual(['small', 'small', 'evil\u001b[2Jname', 'large', 'gone'])
  })

  test('needs no index and no superblock, and goes on behind damage', async () => {
    await rm(join(store.folder, 'index'), { recursive: true })
    await rm(join(store.folder, 'volume', 'superblock'))
    await spoilVolume('second')
    const before = await snapshot()
    const { code, stdout, stderr } = await dump('--json', '--key', 'photos')
    expect(code).toBe(1)
    expect(stderr).toContain('there is no superblock')
    expect(stderr).toContain('2 damaged places')
    const documents = documentsOf(stdout)
    expect(documents.filter(({ type }) => type === 'damage')).toMatchObject([
      { segment: 0, offset: 8192, resumes_at: 12288 },
    ])
    const damaged = documents.filter(({ damage }) => damage !== undefined)
    expect(damaged).toMatchObject([{ key: 'small', seq: 3, kind: 'put' }])
    const last = documents.findLast(({ type }) => type === 'record')
    expect(last).toMatchObject({ key: 'gone', kind: 'delete', seq: 7 })
    expect(await snapshot()).toEqual(before)
  })

  test('takes what is asked for, and says what it cannot take', async () => {
    const { stdout } = await dump('--json', '--segment', '0', '--kind', 'delete')
    expect(documentsOf(stdout).map(({ type }) => type)).toEqual(['volume', 'segment', 'record'])
    expect(await dump('--segment', '77')).toMatchObject({ code: 2 })
    expect(await dump('--key', '/x')).toMatchObject({ code: 2 })
    const commands = await loadCommands()
    const kinds = commands.find(({ name }) => name === 'volume dump')?.flags.kind
    expect(kinds).toMatchObject({ options: recordKindNames })
  })

  test('reads beside a site that runs, and says so', async () => {
    const volume = documentsOf((await dump('--json')).stdout)[0]
    const lock = await acquireVolumeLock({ volumeId: volume.volume_id, clock: systemClock })
    try {
      const { code, stderr } = await dump()
      expect(code).toBe(0)
      expect(stderr).toContain(`process ${process.pid} runs on this volume`)
    } finally {
      await lock.release()
    }
  })
})

describe('volume rebuild', () => {
  const rebuild = (...flags: string[]) =>
    runHere(['volume', 'rebuild', '--config', config, ...flags])

  test('builds an index that serves the same, and keeps the old one beside it', async () => {
    const { code, stdout, stderr } = await rebuild()
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('3 objects') })
    expect(stderr).toContain('index.aside')
    const names = (await readdir(store.folder)).sort()
    expect(names).toEqual(['config.yaml', 'index', 'index.aside', 'volume'])
    await store.reopen()
    expect(store.engine.replayed).toBe(0)
    expect((await store.get('photos', 'small'))?.toString()).toBe('second')
    expect((await store.get('photos', 'large'))?.length).toBe(300_000)
    expect(await store.keys('photos')).toHaveLength(3)
  })

  test('does so where there is none, and where one that was cut off lies', async () => {
    await rename(join(store.folder, 'index'), join(store.folder, 'index.rebuild'))
    const { code, stdout } = await rebuild('--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ old_index_path: null, objects: 3, feed_head: 7 })
    expect((await readdir(store.folder)).sort()).toEqual(['config.yaml', 'index', 'volume'])
  })

  test('leaves the old index in its place when the log is damaged, and the log as it is', async () => {
    await spoilVolume('small')
    const before = await snapshot()
    const { code, stderr } = await rebuild()
    expect(code).toBe(1)
    expect(stderr).toContain('REBUILD_LOSES')
    expect(await snapshot()).toEqual(before)
  })

  test('refuses a volume on which a site runs, and names its process', async () => {
    await store.reopen()
    const { volumeId } = store.volume.identity
    const lock = await acquireVolumeLock({ volumeId, clock: systemClock })
    try {
      const { code, stderr } = await rebuild()
      expect(code).toBe(2)
      expect(stderr).toContain(`in use by process ${process.pid}`)
    } finally {
      await lock.release()
    }
  })

  test('makes no volume where there is none', async () => {
    await rm(join(store.folder, 'volume', 'superblock'))
    const { code, stderr } = await rebuild()
    expect(code).toBe(1)
    expect(stderr).toContain('SUPERBLOCK_MISSING')
  })
})

describe('volume verify', () => {
  const verify = (...flags: string[]) => runHere(['volume', 'verify', '--config', config, ...flags])
  const findingsOf = async () => {
    const { code, stdout } = await verify('--json')
    expect(code).toBe(1)
    return JSON.parse(stdout)
  }

  /** Opens the index, as a site would, and changes it. */
  async function tamperIndex(change: (index: LevelIndex) => Promise<void>): Promise<void> {
    const index = await LevelIndex.open({ path: join(store.folder, 'index') })
    await change(index)
    await index.close()
  }

  test('finds a sound volume sound, and changes nothing', async () => {
    const before = await snapshot()
    const { code, stdout } = await verify()
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^sound: \d+ records/),
    })
    expect(await snapshot()).toEqual(before)
    await rm(join(store.folder, 'index'), { recursive: true })
    expect(await findingsOf()).toMatchObject({ sound: false, findings: { 'index-absent': 1 } })
    const bare = await verify()
    expect(bare.code).toBe(1)
    expect(bare.stdout).toMatch(/^log sound, but nothing to compare it with: \d+ records/)
  })

  test('says where it wants to copy the index to when there is no place for that', async () => {
    vi.stubEnv('TMPDIR', join(store.folder, 'nowhere'))
    const { code, stderr } = await verify()
    vi.unstubAllEnvs()
    expect(code).toBe(1)
    expect(stderr).toMatch(/the index cannot be copied below .*nowhere to look at it: ENOENT/)
    expect(stderr).toContain('Set TMPDIR')
  })

  test('names what is damaged with its place and its key, also of large objects', async () => {
    await spoilVolume('second')
    await spoilVolume('largelarge')
    const { findings, listed } = await findingsOf()
    expect(findings).toEqual({ group: 2, record: 2, dangling: 2 })
    const byKind = (kind: string) =>
      listed.filter((found: { readonly kind: string }) => found.kind === kind)
    expect(byKind('group')[0]).toMatchObject({ segment: 0, offset: 8192 })
    expect(byKind('record')[0]).toMatchObject({ bucket: 'photos', key: 'small', seq: 3 })
    const keys = byKind('dangling').map(({ bucket, key }: Record<string, string>) => [bucket, key])
    expect(keys).toContainEqual(['photos', 'small'])
    expect(keys).toContainEqual(['photos', 'large'])
    const { stdout } = await verify()
    expect(stdout).toContain('records with damaged bytes: 2\n  photos/small, seq 3, segment 0')
  })

  test('misses what the index lacks, and what the log lacks', async () => {
    await tamperIndex(async (index) => {
      const key = objectKey('photos', 'small')
      const value = index.get(key)
      if (value === undefined) throw new Error('the object is in the index')
      await index.write([
        { type: 'put', key: objectKey('photos', 'invented'), value },
        { type: 'del', key },
        { type: 'del', key: changeKey(7) },
      ])
    })
    const { findings, listed } = await findingsOf()
    // Without an entry, the older of the two puts is missed as well.
    expect(findings).toMatchObject({ unindexed: 2, dangling: 1 })
    const missing = listed.findLast(({ kind }: { readonly kind: string }) => kind === 'unindexed')
    expect(missing).toMatchObject({ bucket: 'photos', key: 'small', seq: 3, offset: 8224 })
    const invented = listed.find(({ kind }: { readonly kind: string }) => kind === 'dangling')
    expect(invented).toMatchObject({ key: 'invented', message: 'another record lies there' })
    const gone = listed.filter(({ kind }: { readonly kind: string }) => kind === 'feed')
    expect(gone).toContainEqual(expect.objectContaining({ key: 'gone', seq: 7 }))
    expect(findings.count).toBeGreaterThan(0)
  })

  test('finds a segment that is gone, and a footer that says something else', async () => {
    await store.reopen()
    await store.close()
    const name = join(store.folder, 'volume', 'segments', '00000000.seg')
    const bytes = await readFile(name)
    bytes[bytes.length - 4096 + 40] = 0xee
    await writeFile(name, bytes)
    expect((await findingsOf()).findings).toMatchObject({ group: 1 })
    await rm(name)
    const { findings } = await findingsOf()
    expect(findings).toMatchObject({ 'missing-segment': 1 })
    expect(findings.dangling).toBeGreaterThan(3)
  })

  test('refuses a volume on which a site runs', async () => {
    await store.reopen()
    const { volumeId } = store.volume.identity
    const lock = await acquireVolumeLock({ volumeId, clock: systemClock })
    try {
      const { code, stderr } = await verify()
      expect(code).toBe(2)
      expect(stderr).toContain(`in use by process ${process.pid}`)
    } finally {
      await lock.release()
    }
  })
})
