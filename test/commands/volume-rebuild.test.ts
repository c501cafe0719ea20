import { cp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CorruptObjectError } from '../../src/store/model/errors.ts'
import { runHere } from '../cli/run-comio.ts'
import { TestStore } from '../store/open-store.ts'
import { spoilAt } from '../store/spoil.ts'

interface Dumped {
  readonly kind: string
  readonly bucket?: string
  readonly key?: string
  readonly segment: number
  readonly offset: number
  readonly head_length: number
  readonly body_length: number
}

let store: TestStore
let config: string
let volume: string

beforeEach(async () => {
  store = await TestStore.open({ segmentBytes: 2 ** 17, siteId: 'site-a' })
  volume = join(store.folder, 'volume')
  config = join(store.folder, 'config.yaml')
  const index = join(store.folder, 'index')
  await writeFile(config, JSON.stringify({ server: { storage_path: volume, index_path: index } }))
})
afterEach(() => store.remove())

const rebuild = (...flags: string[]) => runHere(['volume', 'rebuild', '--config', config, ...flags])

/** What stands in the log, in order. */
async function records(kind: string, key?: string): Promise<Dumped[]> {
  const selected = ['--json', '--kind', kind]
  const { stdout } = await runHere(['volume', 'dump', '--config', config, ...selected])
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .filter((one) => one.type === 'record' && (key === undefined || one.key === key))
}

/** The last one of them. */
async function spoilRecord(kind: string, key?: string): Promise<Dumped> {
  const record = (await records(kind, key)).at(-1)
  if (record === undefined) throw new Error(`there is no ${kind} of ${key}`)
  await spoilAt(volume, record)
  return record
}

/** Goes on in the next segment of the log. */
async function roll(): Promise<void> {
  const { generation } = store.volume.logPosition()
  for (let i = 0; store.volume.logPosition().generation === generation; i++) {
    await store.put('fill', `fill${i % 8}`, Buffer.alloc(4000, i))
  }
}

const pathOf = (segment: number): string =>
  join(volume, 'segments', `${segment.toString(16).padStart(8, '0')}.seg`)

/** Overwrites some bytes of a segment's file; the offset counts from its end where it is negative. */
async function overwrite(segment: number, offset: number, bytes: Buffer): Promise<void> {
  const path = pathOf(segment)
  const file = await readFile(path)
  file.set(bytes, offset < 0 ? file.length + offset : offset)
  await writeFile(path, file, { flag: 'r+' })
}

/** As it is after a loss of power: the superblock does not say where the log ended. */
async function breakOff(): Promise<void> {
  const parts = ['volume', 'index'].map((name) => join(store.folder, name))
  for (const part of parts) await cp(part, `${part}.saved`, { recursive: true })
  await store.close()
  for (const part of parts) {
    await rm(part, { recursive: true })
    await rename(`${part}.saved`, part)
  }
}

const text = async (bucket: string, key: string): Promise<string | undefined> =>
  (await store.get(bucket, key))?.toString()

describe('volume rebuild of a damaged log', () => {
  test('passes over a record that is dead by now', async () => {
    await store.put('photos', 'cat', 'old')
    await roll()
    await store.put('photos', 'cat', 'new')
    await store.close()
    const [dead] = await records('put', 'cat')
    if (dead === undefined) throw new Error('it is there')
    await spoilAt(volume, dead)
    await rm(join(store.folder, 'index'), { recursive: true })
    const { code, stdout } = await rebuild()
    expect(stdout).toContain('passed over: 1 damaged place, 1 lost record that nothing needs')
    expect(code).toBe(0)
    await store.reopen()
    expect(await text('photos', 'cat')).toBe('new')
  })

  test('passes over the damaged header of a group whose records are whole', async () => {
    await store.put('photos', 'cat', 'a cat')
    await store.put('photos', 'dog', 'a dog')
    await store.close()
    // The only record of its group.
    const [dog] = await records('put', 'dog')
    if (dog === undefined) throw new Error('it is there')
    await overwrite(dog.segment, dog.offset - 32, Buffer.alloc(32))
    const { code, stdout } = await rebuild()
    expect(stdout).toContain('passed over: 1 damaged place, 0 lost records')
    expect(code).toBe(0)
    await store.reopen()
    expect(await text('photos', 'dog')).toBe('a dog')
    await store.put('photos', 'cow', 'a cow')
    await store.close()
    expect((await rebuild()).code).toBe(0)
    await store.reopen()
    expect(await text('photos', 'cow')).toBe('a cow')
  })

  test('names what would be lost and changes nothing, unless it is told to go on without', async () => {
    await store.put('photos', 'lost', 'the version before')
    await store.put('photos', 'lost', 'what rots')
    await store.put('photos', 'deleted', 'x')
    await store.engine.deleteObject({ bucket: 'photos', key: 'deleted' })
    await store.put('films', 'purged', 'x')
    await store.engine.purgeBucket('films')
    await store.engine.createBucket('empty')
    await roll()
    await store.put('photos', 'kept', 'y')
    const head = store.engine.feed.head()
    await store.close()
    await cp(join(store.folder, 'index'), join(store.folder, 'before'), { recursive: true })
    const place = await spoilRecord('put', 'lost')
    await spoilRecord('delete', 'deleted')
    // It is written again once the bucket is swept.
    for (const record of await records('purge')) await spoilAt(volume, record)
    for (const { bucket, ...record } of await records('bucket')) {
      if (bucket === 'empty') await spoilAt(volume, record)
    }

    const refused = await rebuild()
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('REBUILD_LOSES')
    expect(refused.stdout).toContain('would be lost: 4')
    expect(refused.stdout).toContain(
      `put photos/lost, seq 3, segment ${place.segment}, generation 1, offset ${place.offset}: it is absent`,
    )
    expect(refused.stdout).toMatch(/^ +delete photos\/deleted, .*: it stays deleted/m)
    expect(refused.stdout).toMatch(/^ +purge films, .*: it stays purged/m)
    expect(refused.stdout).toMatch(/^ +bucket empty, .*: its creation/m)
    for (const line of (await rebuild('--json')).stdout.matchAll(/"in_place": (.*),/g)) {
      expect(line[1]).toBe('false')
    }
    await expect(readFile(join(store.folder, 'index', 'CURRENT'))).resolves.toBeDefined()

    const { code, stdout } = await rebuild('--skip-damaged')
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('lost: 4') })
    await store.reopen()
    expect(store.engine.replayed).toBe(0)
    expect(await text('photos', 'lost')).toBeUndefined()
    expect(await text('photos', 'deleted')).toBeUndefined()
    expect(await text('films', 'purged')).toBeUndefined()
    expect(await text('photos', 'kept')).toBe('y')
    expect(await store.engine.bucketExists('empty')).toBe(false)
    expect((await store.put('photos', 'lost', 'again')).seq).toBeGreaterThan(head)

    // The scrub writes anew what took effect all the same, and frees the segment with the damage.
    const found: unknown[] = []
    for await (const { damaged } of store.engine.traces.run(new AbortController().signal)) {
      if (damaged !== undefined) found.push([damaged.what, damaged.problem])
    }
    expect(found.sort()).toEqual([
      ['deletion', undefined],
      ['purge', undefined],
    ])
    await store.loseIndex()
    expect(await text('photos', 'lost')).toBe('again')
    expect(await text('photos', 'deleted')).toBeUndefined()
    expect(await text('films', 'purged')).toBeUndefined()
  })

  test('gives no number again that a lost record at the end of the log may have had', async () => {
    for (let i = 0; i < 5; i++) await store.put('photos', `k${i}`, `content ${i}`)
    const head = store.engine.feed.head()
    await store.close()
    const last = await spoilRecord('put', 'k4')
    expect((await rebuild()).code).toBe(1)
    const { code, stdout } = await rebuild('--skip-damaged')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      new RegExp(`segment ${last.segment}, generation 1, offset \\d+ to \\d+: .*may be back`),
    )
    await store.reopen()
    expect(await text('photos', 'k3')).toBe('content 3')
    expect(await text('photos', 'k4')).toBeUndefined()
    expect((await store.put('photos', 'k5', 'new')).seq).toBeGreaterThan(head)
    await store.reopen()
    expect(await text('photos', 'k5')).toBe('new')
  })

  test('names a deletion at the end of the log that is known to the old index alone', async () => {
    await store.put('photos', 'deleted', 'x')
    await store.engine.deleteObject({ bucket: 'photos', key: 'deleted' })
    const head = store.engine.feed.head()
    await breakOff()
    const { segment } = await spoilRecord('delete', 'deleted')
    const refused = await rebuild()
    expect(refused.code).toBe(1)
    expect(refused.stdout).toMatch(new RegExp(`segment ${segment}, .*may be back`))
    expect((await rebuild('--skip-damaged')).code).toBe(0)
    await store.reopen()
    expect((await store.put('photos', 'new', 'y')).seq).toBeGreaterThan(head)
    await store.reopen()
    expect(await text('photos', 'new')).toBe('y')
  })

  test('builds an index once more behind a newest segment that was cut off', async () => {
    await store.put('photos', 'first', 'a')
    const { segment, offset } = store.volume.logPosition()
    await store.put('photos', 'cut', 'b')
    await breakOff()
    await truncate(pathOf(segment), offset)
    expect((await rebuild('--skip-damaged')).code).toBe(0)
    expect((await rebuild()).code).toBe(0)
    await store.loseIndex()
    expect(await text('photos', 'first')).toBe('a')
  })

  test('goes on without a segment of the log that is gone, once it is told to', async () => {
    await store.put('photos', 'before', 'a')
    await roll()
    const { segment } = store.volume.logPosition()
    await store.put('photos', 'gone', 'b')
    await store.put('photos', 'newer', 'old')
    await roll()
    await store.put('photos', 'newer', 'new')
    const head = store.engine.feed.head()
    await store.close()
    const path = pathOf(segment)
    await rename(path, `${path}.aside`)
    await expect(store.reopen()).rejects.toThrow(`segment ${segment} of generation 2 is not there`)
    await rm(join(store.folder, 'index'), { recursive: true })

    const refused = await rebuild()
    expect(refused.code).toBe(1)
    expect(refused.stdout).toMatch(
      new RegExp(`segment ${segment}, generation 2, .*the segment is missing.*may be back`),
    )
    // Nothing was changed: it could still come back.
    await expect(store.reopen()).rejects.toThrow('is not there')

    expect((await rebuild('--skip-damaged')).code).toBe(0)
    expect(await runHere(['volume', 'verify', '--config', config])).toMatchObject({ code: 0 })
    await store.reopen()
    expect(await text('photos', 'before')).toBe('a')
    expect(await text('photos', 'gone')).toBeUndefined()
    expect(await text('photos', 'newer')).toBe('new')
    expect((await store.put('photos', 'gone', 'again')).seq).toBeGreaterThan(head)
    await store.loseIndex()
    expect(await text('photos', 'gone')).toBe('again')
  })

  test('gives no number again that the newest segment had when that is gone, whoever loses the index next', async () => {
    await store.put('photos', 'before', 'a')
    await roll()
    const { segment } = store.volume.logPosition()
    for (let i = 0; i < 20; i++) await store.put('photos', `gone${i}`, 'b')
    const head = store.engine.feed.head()
    await store.close()
    await rm(pathOf(segment))
    await rm(join(store.folder, 'index'), { recursive: true })
    expect((await rebuild()).code).toBe(1)
    expect((await rebuild('--skip-damaged')).code).toBe(0)
    await rm(join(store.folder, 'index'), { recursive: true })
    expect((await rebuild()).code).toBe(0)
    await store.loseIndex()
    expect(await text('photos', 'before')).toBe('a')
    expect((await store.put('photos', 'new', 'c')).seq).toBeGreaterThan(head)
  })

  test('has nothing to go on with when no segment of the log is left', async () => {
    await store.put('photos', 'cat', 'a')
    const { segment } = store.volume.logPosition()
    await store.close()
    await rm(pathOf(segment))
    const { code, stderr } = await rebuild('--skip-damaged')
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('LOG_LOST') })
  })

  test('goes on behind a segment whose end is damaged, and which nothing follows any more', async () => {
    await store.put('photos', 'first', 'a')
    await roll()
    await store.put('photos', 'between', 'b')
    await roll()
    await store.put('photos', 'last', 'c')
    await store.engine.deleteObject({ bucket: 'photos', key: 'between' })
    await roll()
    await roll()
    await store.close()
    await store.reopen()
    const [first, next] = store.volume.segments().filter(({ stream }) => stream === 'log')
    if (first === undefined || next === undefined) throw new Error('there are some')
    expect([first.generation, next.generation > 2]).toEqual([1, true])
    await store.close()
    await overwrite(first.segment, -16, Buffer.alloc(16))
    await store.loseIndex()
    expect(await text('photos', 'first')).toBe('a')
    await store.close()

    await overwrite(first.segment, -4096, Buffer.alloc(4096))
    await expect(store.reopen()).rejects.toThrow('neither a footer nor a later segment')
    const refused = await rebuild()
    expect(refused.code).toBe(1)
    expect(refused.stdout).toContain('its footer is lost')
    expect((await rebuild('--skip-damaged')).code).toBe(0)
    await store.loseIndex()
    expect(await text('photos', 'first')).toBe('a')
    expect(await text('photos', 'last')).toBe('c')
  })

  test('keeps a large object of which it does not know any more where it lies, as damaged', async () => {
    const content = Buffer.alloc(300_000, 'large')
    await store.put('photos', 'large', content)
    await roll()
    await store.close()
    const [large] = await records('put', 'large')
    if (large === undefined) throw new Error('it is there')
    await overwrite(large.segment, large.offset + large.head_length, Buffer.alloc(8))
    expect((await rebuild()).code).toBe(0)
    await store.reopen()
    const object = { bucket: 'photos', key: 'large' }
    expect(store.engine.headObject(object)?.meta.size).toBe(300_000)
    await expect(store.get('photos', 'large')).rejects.toThrow(CorruptObjectError)
    const { version } = store.engine.headObject(object) ?? {}
    if (version === undefined) throw new Error('it is there')
    const bytes = (async function* () {
      yield content
    })()
    expect(await store.engine.mender.mend(object, version, bytes)).toBe('mended')
    expect((await store.get('photos', 'large'))?.equals(content)).toBe(true)
  })
})
