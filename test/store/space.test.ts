import { hash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  BucketNotEmptyError,
  PreconditionFailedError,
  StorageFullError,
} from '../../src/store/model/errors.ts'
import type { PutMutation } from '../../src/store/model/mutation.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { fill } from './fill.ts'
import { TestStore } from './open-store.ts'

const mib = 2 ** 20
/** For what happens in the background: an upper bound, not a measure. */
const patience = { timeout: 60_000 }
let store: TestStore
beforeEach(async () => {
  store = await TestStore.open({ capacityBytes: 32 * mib, segmentBytes: 2 * mib })
})
afterEach(() => store.remove())

const putOf = (bytes: Buffer): PutMutation => ({
  kind: 'put',
  slot: { kind: 'object', bucket: 'photos', key: 'pulled', versionId: 'null' },
  version: makeVersion(Date.now(), 0, 'there'),
  context: [],
  meta: {
    size: bytes.length,
    etag: hash('md5', bytes, 'hex'),
    contentHash: { algorithm: 'sha256', digest: hash('sha256', bytes, 'buffer') },
    lastModified: 0,
    headers: {},
    userMetadata: {},
  },
})

describe('a volume that many writers fill at once', () => {
  it.each([
    ['small', 60_000, 64],
    ['large', 700_000, 16],
  ])(
    'with %s objects still takes every delete, and writes again afterwards',
    async (_, size, width) => {
      const stored = await fill(store, size, width)
      await Promise.all(stored.map((key) => store.engine.deleteObject({ bucket: 'photos', key })))
      // Segments are given back in the background.
      await vi.waitFor(() => store.put('photos', 'again', randomBytes(size)), patience)
      expect(await store.keys('photos')).toEqual(['again'])
    },
  )

  it('still takes a purge after it was opened again', async () => {
    const stored = await fill(store, 60_000, 64)
    await store.reopen()
    expect(await store.engine.purgeBucket('photos')).toMatchObject({ count: stored.length })
    await store.engine.deleteBucket('photos')
    await store.put('photos', 'again', randomBytes(60_000))
  })
})

describe('a volume that is nearly full', () => {
  const nearlyFull = /^the volume is nearly full: objects above (\d+) KiB are answered 507$/

  const sayingSo = (): number | undefined => {
    const [reason, ...others] = store.engine.health().reasons
    expect(others).toEqual([])
    return reason === undefined ? undefined : Number(nearlyFull.exec(reason)?.[1]) * 1024
  }

  it('says which objects it refuses as soon as there are any, and nothing while it can make room', async () => {
    let count = 0
    for (; sayingSo() === undefined; count++)
      await store.put('photos', `k${count}`, randomBytes(700_000))
    const largest = sayingSo() ?? 0
    expect(largest).toBeGreaterThan(mib)
    const above = store.put('photos', 'above', randomBytes(largest + 64 * 1024))
    await expect(above).rejects.toThrow(StorageFullError)
    await store.put('photos', 'below', randomBytes(largest - 64 * 1024))
    expect(sayingSo()).toBeLessThan(largest)
    for (let at = 0; at < count; at += 2)
      await store.engine.deleteObject({ bucket: 'photos', key: `k${at}` })
    expect(sayingSo()).toBeUndefined()
    await store.put('photos', 'above', randomBytes(largest + 64 * 1024))
  })
})

describe('a large object that waits for the room of one under way', () => {
  const announce = (
    key: string,
    bytes: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<unknown> =>
    store.engine
      .putObject({
        ...{ bucket: 'photos', key, body, contentLength: bytes },
        ...{ headers: {}, userMetadata: {}, createBucket: true },
      })
      .then(
        () => 'stored',
        (thrown: unknown) => thrown,
      )

  async function* zeros(bytes: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes; at += mib) yield Buffer.alloc(Math.min(mib, bytes - at))
  }

  it('holds up neither small ones nor the refusal of what can never fit, and is stored in the end', async () => {
    const cut = Promise.withResolvers<void>()
    const first = announce(
      'first',
      12 * mib,
      (async function* () {
        yield Buffer.alloc(mib)
        await cut.promise
        throw new Error('the client is gone')
      })(),
    )
    let isStored = false
    const second = announce('second', 14 * mib, zeros(14 * mib)).finally(() => {
      isStored = true
    })
    expect(await announce('never', 40 * mib, zeros(40 * mib))).toBeInstanceOf(StorageFullError)
    for (let at = 0; at < 5; at++) await store.put('photos', `small${at}`, randomBytes(4000))
    expect(isStored).toBe(false)
    cut.resolve()
    expect(await first).toMatchObject({ message: 'the client is gone' })
    expect(await second).toBe('stored')
  })
})

describe('a pull', () => {
  it('needs room for its object once, not twice', async () => {
    const bytes = randomBytes(16 * mib)
    const mutation = putOf(bytes)
    const offer = { mutation, body: { kind: 'offered' as const } }
    expect(await store.engine.apply([offer], undefined)).toEqual([{ result: 'need' }])
    const upload = await store.engine.stageUpload(mutation)
    await upload.append(bytes.subarray(0, 10 * mib))
    await upload.checkpoint()
    expect(await store.engine.apply([offer], undefined)).toEqual([{ result: 'need' }])
    await upload.append(bytes.subarray(10 * mib))
    const put = { mutation, body: { kind: 'staged' as const, upload } }
    expect(await store.engine.apply([put], undefined)).toEqual([{ result: 'applied' }])
    expect((await store.get('photos', 'pulled'))?.equals(bytes)).toBe(true)
  })

  it('is not begun when it cannot fit', async () => {
    const offer = { mutation: putOf(randomBytes(40 * mib)), body: { kind: 'offered' as const } }
    expect(await store.engine.apply([offer], undefined)).toMatchObject([{ result: 'later' }])
  })

  it('that fails for want of space gives it all back when it is closed', async () => {
    const upload = await store.engine.stageUpload(putOf(randomBytes(1)))
    const pour = async (): Promise<void> => {
      for (;;) {
        await upload.append(randomBytes(mib))
        await upload.checkpoint()
      }
    }
    await expect(pour()).rejects.toThrow()
    await upload.abort()
    await store.put('photos', 'a', 'x')
    await vi.waitFor(() => store.put('photos', 'large', randomBytes(16 * mib)), patience)
  })
})

describe('what is read while the index is being written', () => {
  it('is never an object without its bytes, however fast it is overwritten', async () => {
    const size = 300_000
    await store.put('photos', 'a', Buffer.alloc(size))
    let writing = true
    const writer = (async () => {
      for (let i = 0; i < 60; i++) await store.put('photos', 'a', Buffer.alloc(size, i))
      writing = false
    })()
    let opened = 0
    while (writing) {
      for (let i = 0; i < 50; i++) {
        store.engine.openObject({ bucket: 'photos', key: 'a' })?.close()
        opened++
      }
      await new Promise(setImmediate)
    }
    await writer
    expect(opened).toBeGreaterThan(60)
  })

  it('does not let a bucket go that has an object', async () => {
    for (let round = 0; round < 20; round++) {
      await store.put('pair', 'a', 'x')
      await store.put('pair', 'b', 'x')
      const deleted = store.engine.deleteObject({ bucket: 'pair', key: 'a' })
      const attempts: Promise<unknown>[] = []
      for (let i = 0; i < 30; i++) {
        attempts.push(store.engine.deleteBucket('pair').catch((thrown: unknown) => thrown))
        await new Promise(setImmediate)
      }
      await deleted
      for (const outcome of await Promise.all(attempts))
        expect(outcome).toBeInstanceOf(BucketNotEmptyError)
    }
  })

  it('keeps the counters of thousands of buckets exact', async () => {
    const names = Array.from({ length: 4200 }, (_, i) => `bucket-${i}`)
    await Promise.all(names.map((name) => store.engine.createBucket(name)))
    for (let round = 0; round < 3; round++) {
      const some = names.slice(0, 60)
      const puts = some.map((name) => store.put(name, `k${round}`, 'x'))
      for (const name of names) store.engine.headObject({ bucket: name, key: 'none' })
      await Promise.all(puts)
      for (const name of names) store.engine.headObject({ bucket: name, key: 'none' })
    }
    for (const name of names.slice(0, 60)) {
      expect(await store.engine.previewPurge(name)).toEqual({ count: 3, bytes: 3 })
    }
  })
})

describe('a refused write', () => {
  it('leaves no bucket behind', async () => {
    const put = store.engine.putObject({
      bucket: 'none',
      key: 'a',
      body: Buffer.from('x'),
      contentLength: 1,
      headers: {},
      userMetadata: {},
      createBucket: true,
      conditions: { ifMatch: ['*'] },
    })
    await expect(put).rejects.toThrow(PreconditionFailedError)
    expect(await store.engine.listBuckets()).toEqual([])
  })
})
