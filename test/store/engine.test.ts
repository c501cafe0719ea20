import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  BadDigestError,
  BucketNotEmptyError,
  IncompleteBodyError,
  InvalidNameError,
  NoSuchBucketError,
  PreconditionFailedError,
  StorageFullError,
} from '../../src/store/model/errors.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open()
})
afterEach(() => store.remove())

const large = randomBytes(700_001)

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe('objects', () => {
  it('are read as they were written, small, large and empty, also after a restart', async () => {
    const contents = { small: Buffer.from('hello'), large, empty: Buffer.alloc(0) }
    for (const [key, content] of Object.entries(contents)) await store.put('photos', key, content)
    for (let round = 0; round < 2; round++) {
      for (const [key, content] of Object.entries(contents)) {
        expect((await store.get('photos', key))?.equals(content)).toBe(true)
      }
      await store.reopen()
    }
  })

  it('carry their MD5 as ETag and their SHA-256, however the body came', async () => {
    const whole = await store.put('photos', 'a', large)
    const streamed = await store.engine.putObject({
      bucket: 'photos',
      key: 'b',
      body: inPieces(large, 10_000),
      contentLength: large.length,
      headers: {},
      userMetadata: { owner: 'maria' },
      createBucket: true,
    })
    const md5 = createHash('md5').update(large).digest('hex')
    expect(whole.meta.etag).toBe(md5)
    expect(streamed.meta.etag).toBe(md5)
    expect(streamed.meta.contentHash.digest).toEqual(createHash('sha256').update(large).digest())
    expect(store.engine.headObject({ bucket: 'photos', key: 'b' })?.meta.userMetadata).toEqual({
      owner: 'maria',
    })
  })

  it('give any range of their bytes', async () => {
    await store.put('photos', 'a', large)
    const object = store.engine.openObject({ bucket: 'photos', key: 'a' })
    if (object === undefined) throw new Error('the object is there')
    for (const [start, end] of [
      [0, 1],
      [65_535, 65_537],
      [262_000, 600_000],
      [700_000, 700_001],
      [5, 5],
    ] as const) {
      const pieces: Buffer[] = []
      for await (const piece of object.read({ start, end })) pieces.push(piece)
      expect(Buffer.concat(pieces).equals(large.subarray(start, end))).toBe(true)
    }
    object.close()
  })

  it('stay readable to who has them open when they are overwritten and their space is freed', async () => {
    await store.put('photos', 'a', large)
    const object = store.engine.openObject({ bucket: 'photos', key: 'a' })
    for (let i = 0; i < 6; i++) await store.put('photos', 'a', randomBytes(600_000))
    const pieces: Buffer[] = []
    for await (const piece of object?.read() ?? []) pieces.push(piece)
    object?.close()
    expect(Buffer.concat(pieces).equals(large)).toBe(true)
  })

  it.each([
    ['too few', 10, 9],
    ['too many', 10, 11],
    ['too few of a large body', 600_000, 599_999],
    ['too many of a large body', 600_000, 600_001],
  ])('are not stored when %s bytes come', async (_, announced, sent) => {
    const input = {
      bucket: 'photos',
      key: 'a',
      contentLength: announced,
      headers: {},
      userMetadata: {},
      createBucket: true,
    }
    const body = inPieces(Buffer.alloc(sent), 4096)
    await expect(store.engine.putObject({ ...input, body })).rejects.toThrow(IncompleteBodyError)
    expect(store.engine.headObject(input)).toBeUndefined()
  })

  it('are not stored when their MD5 is another than announced', async () => {
    const input = {
      bucket: 'photos',
      key: 'a',
      contentLength: 2,
      headers: {},
      userMetadata: {},
      createBucket: true,
    }
    const put = store.engine.putObject({
      ...input,
      body: Buffer.from('hi'),
      expectedMd5: Buffer.alloc(16),
    })
    await expect(put).rejects.toThrow(BadDigestError)
    expect(store.engine.headObject(input)).toBeUndefined()
  })

  it('have keys of any UTF-8 up to 1024 bytes, and no others', async () => {
    const key = `dir//../ä🎉${'x'.repeat(1010)}`
    expect(Buffer.byteLength(key)).toBe(1024)
    await store.put('photos', key, 'x')
    expect(await store.keys('photos')).toEqual([key])
    await expect(store.put('photos', `${key}y`, 'x')).rejects.toThrow(InvalidNameError)
    await expect(store.put('photos', '', 'x')).rejects.toThrow(InvalidNameError)
    await expect(store.put('photos', '\ud800', 'x')).rejects.toThrow(InvalidNameError)
    await expect(store.put('admin', 'x', 'x')).rejects.toThrow(InvalidNameError)
  })

  it('deleted are gone, and deleting what is not there does nothing', async () => {
    await store.put('photos', 'a', 'x')
    expect(await store.engine.deleteObject({ bucket: 'photos', key: 'a' })).toBe(true)
    expect(await store.engine.deleteObject({ bucket: 'photos', key: 'a' })).toBe(false)
    const head = store.engine.feed.head()
    expect(await store.engine.deleteObject({ bucket: 'none', key: 'a' })).toBe(false)
    expect(store.engine.feed.head()).toBe(head)
    await store.reopen()
    expect(await store.get('photos', 'a')).toBeUndefined()
  })
})

describe('conditions', () => {
  const conditional = (
    key: string,
    content: string,
    conditions: { ifMatch?: string[]; ifNoneMatch?: string[] },
  ) =>
    store.engine.putObject({
      bucket: 'photos',
      key,
      body: Buffer.from(content),
      contentLength: content.length,
      headers: {},
      userMetadata: {},
      createBucket: true,
      conditions,
    })

  it('let exactly one of many create-only writes through', async () => {
    const writes = Array.from({ length: 20 }, (_, i) =>
      conditional('a', `${i}`, { ifNoneMatch: ['*'] }),
    )
    const results = await Promise.allSettled(writes)
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    for (const result of results) {
      if (result.status === 'rejected')
        expect(result.reason).toBeInstanceOf(PreconditionFailedError)
    }
  })

  it('compare with what the write before left, pending or not', async () => {
    const first = store.put('photos', 'a', 'one')
    const etag = createHash('md5').update('one').digest('hex')
    const second = conditional('a', 'two', { ifMatch: [etag] })
    await Promise.all([first, second])
    await expect(conditional('a', 'three', { ifMatch: [etag] })).rejects.toThrow(
      PreconditionFailedError,
    )
    expect((await store.get('photos', 'a'))?.toString()).toBe('two')
  })
})

describe('buckets', () => {
  it('come with the first object or by name, and go when they are empty', async () => {
    expect(await store.engine.createBucket('empty')).toBe(true)
    expect(await store.engine.createBucket('empty')).toBe(false)
    await store.put('photos', 'a', 'x')
    expect((await store.engine.listBuckets()).map((bucket) => bucket.name)).toEqual([
      'empty',
      'photos',
    ])
    await expect(store.engine.deleteBucket('photos')).rejects.toThrow(BucketNotEmptyError)
    await store.engine.deleteObject({ bucket: 'photos', key: 'a' })
    await store.engine.deleteBucket('photos')
    await expect(store.engine.deleteBucket('photos')).rejects.toThrow(NoSuchBucketError)
    await store.reopen()
    expect((await store.engine.listBuckets()).map((bucket) => bucket.name)).toEqual(['empty'])
    await expect(store.keys('photos')).rejects.toThrow(NoSuchBucketError)
    expect(await store.engine.createBucket('photos')).toBe(true)
  })

  it('are not made by a put that is told not to', async () => {
    const put = store.engine.putObject({
      bucket: 'none',
      key: 'a',
      body: Buffer.alloc(0),
      contentLength: 0,
      headers: {},
      userMetadata: {},
      createBucket: false,
    })
    await expect(put).rejects.toThrow(NoSuchBucketError)
  })
})

describe('listing', () => {
  const walk = async (
    prefix: string,
    delimiter: string,
    limit: number,
  ): Promise<[string[], string[]]> => {
    const keys: string[] = []
    const prefixes: string[] = []
    for (let after: string | undefined = ''; after !== undefined; ) {
      const page = await store.engine.listObjects({
        bucket: 'photos',
        prefix,
        delimiter,
        after,
        limit,
      })
      expect(page.objects.length + page.commonPrefixes.length).toBeLessThanOrEqual(limit)
      keys.push(...page.objects.map((object) => object.key))
      prefixes.push(...page.commonPrefixes)
      after = page.next
    }
    return [keys, prefixes]
  }

  it('pages through keys and common prefixes in the order of their bytes, each once', async () => {
    const keys = ['a', 'b/1', 'b/2', 'b/c/3', 'b0', 'ä', 'z/', '🎉', '\uffff']
    await Promise.all(keys.map((key) => store.put('photos', key, 'x')))
    const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    for (const limit of [1, 2, 3, 100]) {
      expect(await walk('', '', limit)).toEqual([sorted, []])
      expect(await walk('', '/', limit)).toEqual([
        sorted.filter((key) => !key.includes('/')),
        ['b/', 'z/'],
      ])
      expect(await walk('b/', '/', limit)).toEqual([['b/1', 'b/2'], ['b/c/']])
      expect(await walk('none', '/', limit)).toEqual([[], []])
    }
  })
})

describe('a purge', () => {
  it('previews exactly, takes everything that was there, and leaves what comes later', async () => {
    await Promise.all(
      Array.from({ length: 700 }, (_, i) => store.put('photos', `k${i}`, 'x'.repeat(i % 7))),
    )
    await store.put('other', 'a', 'x')
    const expected = await store.engine.previewPurge('photos')
    expect(expected.count).toBe(700)
    expect(await store.engine.purgeBucket('photos')).toEqual(expected)
    expect(await store.keys('photos')).toEqual([])
    await store.put('photos', 'k3', 'new')
    expect(await store.engine.previewPurge('photos')).toEqual({ count: 1, bytes: 3 })
    await store.reopen()
    expect(await store.keys('photos')).toEqual(['k3'])
    expect(await store.engine.purgeBucket('photos')).toEqual({ count: 1, bytes: 3 })
    expect(await store.engine.purgeBucket('photos')).toEqual({ count: 0, bytes: 0 })
    expect((await store.get('other', 'a'))?.toString()).toBe('x')
    await expect(store.engine.purgeBucket('none')).rejects.toThrow(NoSuchBucketError)
  })

  it('is swept to the end after a restart in the middle, with exact counters', async () => {
    await Promise.all(Array.from({ length: 1500 }, (_, i) => store.put('photos', `k${i}`, 'xy')))
    const purged = store.engine.purgeBucket('photos')
    await purged
    await store.put('photos', 'later', 'z')
    await store.reopen()
    expect(await store.engine.previewPurge('photos')).toEqual({ count: 1, bytes: 1 })
    await store.engine.deleteObject({ bucket: 'photos', key: 'later' })
    await store.engine.deleteBucket('photos')
    expect(await store.engine.totals()).toEqual({ count: 0, bytes: 0 })
  })
})

describe('a full volume', () => {
  it('refuses writes, goes on reading and deleting, and writes again when space is freed', async () => {
    await store.remove()
    store = await TestStore.open({ capacityBytes: 16 * 2 ** 20 })
    const body = randomBytes(500_000)
    const stored: string[] = []
    let failure: unknown
    for (let i = 0; i < 100 && failure === undefined; i++) {
      await store.put('photos', `k${i}`, body).then(
        () => stored.push(`k${i}`),
        (thrown: unknown) => {
          failure = thrown
        },
      )
    }
    expect(failure).toBeInstanceOf(StorageFullError)
    expect(stored.length).toBeGreaterThan(15)
    expect((await store.get('photos', 'k0'))?.equals(body)).toBe(true)
    await expect(store.put('photos', 'more', body)).rejects.toThrow(StorageFullError)
    for (const key of stored) await store.engine.deleteObject({ bucket: 'photos', key })
    await store.reopen()
    await store.put('photos', 'again', body)
    expect((await store.get('photos', 'again'))?.equals(body)).toBe(true)
  })
})

describe('without its index', () => {
  it('does not show a deleted bucket again when its index is built anew', async () => {
    await store.put('gone', 'a', 'purged')
    await store.engine.purgeBucket('gone')
    await store.engine.deleteBucket('gone')
    await store.loseIndex()
    expect(await store.engine.bucketExists('gone')).toBe(false)
    expect((await store.engine.listBuckets()).map(({ name }) => name)).not.toContain('gone')
  })

  it('a volume is all there again, rebuilt from the log', async () => {
    await store.put('photos', 'a', 'one')
    await store.put('photos', 'a', 'two')
    await store.put('photos', 'large', large)
    await store.put('photos', 'b', 'gone')
    await store.engine.deleteObject({ bucket: 'photos', key: 'b' })
    await store.put('old', 'x', 'purged')
    await store.engine.purgeBucket('old')
    await store.put('old', 'y', 'kept')
    const places = async () => {
      const all = await store.engine.feed.readPlaces(0, 100)
      // The purged object's place is there until the sweep has come by.
      const live = all.filter(({ slot }) => slot.kind !== 'object' || slot.key !== 'x')
      return live.map(({ seq, version }) => ({ seq, version }))
    }
    const before = await places()
    await store.loseIndex()
    expect((await store.get('photos', 'a'))?.toString()).toBe('two')
    expect((await store.get('photos', 'large'))?.equals(large)).toBe(true)
    expect(await store.get('photos', 'b')).toBeUndefined()
    expect(await store.keys('old')).toEqual(['y'])
    expect(await places()).toEqual(before)
    expect(await store.engine.previewPurge('photos')).toEqual({ count: 2, bytes: 3 + large.length })
  })
})
