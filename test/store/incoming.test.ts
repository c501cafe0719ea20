import { createHash, hash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LevelIndex } from '../../src/index/level-index.ts'
import { inlineHashing } from '../../src/store/model/body-hasher.ts'
import { StoreUnavailableError } from '../../src/store/model/errors.ts'
import type { ObjectMeta, PutMutation } from '../../src/store/model/mutation.ts'
import type { ApplyOutcome, IncomingChange } from '../../src/store/model/object-store.ts'
import { type Context, makeVersion, type Version } from '../../src/store/model/version.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open()
})
afterEach(() => store.remove())

const now = Date.now()
const at = (ms: number, site = 'there'): Version => makeVersion(now + ms, 0, site)

const metaOf = (content: Buffer): ObjectMeta => ({
  size: content.length,
  etag: hash('md5', content, 'hex'),
  contentHash: { algorithm: 'sha256', digest: hash('sha256', content, 'buffer') },
  lastModified: now,
  headers: {},
  userMetadata: {},
})

const putOf = (
  version: Version,
  content: string | Buffer,
  context: Context = [],
): IncomingChange & { mutation: PutMutation } => {
  const bytes = Buffer.from(content)
  const slot = { kind: 'object' as const, bucket: 'photos', key: 'a', versionId: 'null' }
  return {
    mutation: { kind: 'put', slot, version, context, meta: metaOf(bytes) },
    body: { kind: 'inline', bytes },
  }
}

const deleteOf = (version: Version, context: Context = []): IncomingChange => ({
  mutation: {
    kind: 'delete',
    slot: { kind: 'object', bucket: 'photos', key: 'a', versionId: 'null' },
    version,
    context,
  },
  body: { kind: 'none' },
})

const purgeOf = (version: Version, context: Context = []): IncomingChange => ({
  mutation: { kind: 'purge', slot: { kind: 'floor', bucket: 'photos' }, version, context },
  body: { kind: 'none' },
})

const apply = async (change: IncomingChange): Promise<ApplyOutcome> => {
  const [outcome] = await store.engine.apply([change], undefined)
  if (outcome === undefined) throw new Error('a change has an outcome')
  return outcome
}

const content = async (): Promise<string | undefined> =>
  (await store.get('photos', 'a'))?.toString()

describe('a change from another site', () => {
  it('takes effect once with its version, ETag and time, however often it comes', async () => {
    const change = putOf(at(0), 'hello')
    expect(await apply(change)).toEqual({ result: 'applied' })
    expect(await apply(change)).toEqual({ result: 'duplicate' })
    const info = store.engine.headObject({ bucket: 'photos', key: 'a' })
    expect(info).toMatchObject({
      version: at(0),
      meta: { etag: metaOf(Buffer.from('hello')).etag, lastModified: now },
    })
    expect(store.engine.feed.head()).toBe(1)
    expect(await content()).toBe('hello')
  })

  it('that is older than what is here changes nothing', async () => {
    await apply(putOf(at(5), 'new'))
    expect(await apply(putOf(at(0), 'old'))).toEqual({ result: 'superseded' })
    expect(await apply(deleteOf(at(1)))).toEqual({ result: 'superseded' })
    expect(await content()).toBe('new')
  })

  it('that was deleted does not come back', async () => {
    await apply(putOf(at(0), 'old'))
    expect(await apply(deleteOf(at(5)))).toEqual({ result: 'applied' })
    expect(await apply(putOf(at(0), 'old'))).toEqual({ result: 'superseded' })
    await store.loseIndex()
    expect(await apply(putOf(at(3), 'old'))).toEqual({ result: 'superseded' })
    expect(await content()).toBeUndefined()
  })

  it('made without having seen the local write is a conflict, which the higher version wins', async () => {
    const local = await store.put('photos', 'a', 'local')
    expect(await apply(putOf(at(-60_000), 'theirs'))).toEqual({ result: 'conflict', won: false })
    expect(await content()).toBe('local')
    expect(await apply(putOf(at(60_000), 'theirs'))).toEqual({ result: 'conflict', won: true })
    expect(await content()).toBe('theirs')
    expect(await apply(putOf(at(61_000), 'seen', [local.version]))).toEqual({ result: 'applied' })
  })

  it('that lost is remembered in the winner, also after a restart and without the index', async () => {
    await store.put('photos', 'a', 'local')
    const loser = putOf(at(-60_000), 'theirs')
    expect(await apply(loser)).toEqual({ result: 'conflict', won: false })
    expect(await apply(loser)).toEqual({ result: 'superseded' })
    await store.reopen()
    expect(await apply(loser)).toEqual({ result: 'superseded' })
    await store.loseIndex()
    expect(await apply(loser)).toEqual({ result: 'superseded' })
    expect(await content()).toBe('local')
  })

  it('from a clock too far ahead waits, and is never merged', async () => {
    expect(await apply(putOf(at(3_600_000), 'future'))).toMatchObject({ result: 'later' })
    const local = await store.put('photos', 'a', 'x')
    expect(local.version < at(3_600_000)).toBe(true)
  })

  it('pushes the own clock past it, so that the next local write wins', async () => {
    await apply(putOf(at(120_000), 'ahead'))
    await store.put('photos', 'a', 'after')
    expect(await content()).toBe('after')
    await store.reopen()
    const next = await store.put('photos', 'a', 'later')
    expect(next.version > at(120_000)).toBe(true)
  })

  it('whose bytes are not those it announced is refused and leaves nothing', async () => {
    const change = putOf(at(0), 'hello')
    const wrong = { ...change, body: { kind: 'inline' as const, bytes: Buffer.from('jello') } }
    expect(await apply(wrong)).toMatchObject({ result: 'refused', code: 'CONTENT_MISMATCH' })
    const short = { ...change, body: { kind: 'inline' as const, bytes: Buffer.from('hell') } }
    expect(await apply(short)).toMatchObject({ result: 'refused', code: 'SIZE_MISMATCH' })
    expect(await apply({ ...change, body: { kind: 'none' } })).toMatchObject({
      result: 'refused',
      code: 'BODY_MISSING',
    })
    expect(store.engine.feed.head()).toBe(0)
  })

  it('with an illegal name, ETag or size is refused', async () => {
    const { mutation, body } = putOf(at(0), 'x')
    const slots = [
      { bucket: 'Admin' },
      { bucket: 'admin' },
      { key: '' },
      { key: 'x'.repeat(1025) },
      { versionId: 'v1' },
    ]
    for (const slot of slots) {
      const change = { mutation: { ...mutation, slot: { ...mutation.slot, ...slot } }, body }
      expect(await apply(change)).toMatchObject({ result: 'refused', code: 'INVALID_NAME' })
    }
    const etag = { mutation: { ...mutation, meta: { ...mutation.meta, etag: '"x"' } }, body }
    expect(await apply(etag)).toMatchObject({ result: 'refused' })
    const size = { mutation: { ...mutation, meta: { ...mutation.meta, size: 2 ** 50 } }, body }
    expect(await apply(size)).toMatchObject({ result: 'refused', code: 'OBJECT_TOO_LARGE' })
  })

  it('carries a body too large for a record inline, and leaves no bytes behind when nobody wants it', async () => {
    const bytes = randomBytes(store.volume.limits.inlineBytesMax + 1)
    expect(await apply(putOf(at(0), bytes))).toEqual({ result: 'applied' })
    expect((await store.get('photos', 'a'))?.equals(bytes)).toBe(true)
    const { usedBytes } = store.volume.usage()
    for (let i = 0; i < 40; i++) {
      expect(await apply(putOf(at(-1), bytes))).toEqual({ result: 'superseded' })
    }
    expect(store.volume.usage().usedBytes).toBe(usedBytes)
  })

  it('whose parts do not belong together is refused', async () => {
    const { mutation, body } = putOf(at(0), 'x')
    const changes = [
      { mutation: { ...mutation, context: [at(1_000, 'x')] }, body },
      { mutation: { ...mutation, context: [at(-1)] }, body },
      { mutation: { ...mutation, context: [at(-1, 'y'), at(-1, 'x')] }, body },
      {
        mutation: {
          ...mutation,
          meta: { ...mutation.meta, headers: { 'content-type': 'a\r\nb: c' } },
        },
        body,
      },
      { mutation: { ...mutation, meta: { ...mutation.meta, userMetadata: { 'a b': 'c' } } }, body },
    ]
    for (const change of changes) {
      expect(await apply(change)).toMatchObject({ result: 'refused', code: 'INVALID_NAME' })
    }
    const created = makeVersion(now + 1e11, 0, 'there')
    const bucket: IncomingChange = {
      mutation: {
        kind: 'bucket',
        slot: { kind: 'bucket', bucket: 'photos' },
        version: at(0),
        created,
        deleted: undefined,
      },
      body: { kind: 'none' },
    }
    expect(await apply(bucket)).toMatchObject({ result: 'refused' })
    expect(await store.engine.listBuckets()).toEqual([])
  })

  it('offered is needed only when it would take effect', async () => {
    const { mutation } = putOf(at(5), 'x')
    const offer: IncomingChange = { mutation, body: { kind: 'offered' } }
    expect(await apply(offer)).toEqual({ result: 'need' })
    expect(store.engine.feed.head()).toBe(0)
    await apply(putOf(at(5), 'x'))
    expect(await apply(offer)).toEqual({ result: 'duplicate' })
    await apply(putOf(at(6), 'y'))
    expect(await apply(offer)).toEqual({ result: 'superseded' })
  })
})

describe('a purge from another site', () => {
  it('takes what it covers, leaves what is newer, and commutes with what it had seen', async () => {
    await apply(putOf(at(0), 'old'))
    expect(await apply(purgeOf(at(5)))).toEqual({ result: 'applied' })
    expect(await apply(purgeOf(at(5)))).toEqual({ result: 'duplicate' })
    expect(await apply(purgeOf(at(4)))).toEqual({ result: 'superseded' })
    expect(await content()).toBeUndefined()
    expect(await apply(putOf(at(3), 'late'))).toEqual({ result: 'superseded' })
    expect(await apply(putOf(at(6), 'new'))).toEqual({ result: 'applied' })
    expect(await content()).toBe('new')
    expect(await store.engine.previewPurge('photos')).toEqual({ count: 1, bytes: 3 })
  })

  it('that takes a local write which its author had not seen says so', async () => {
    const local = await store.put('photos', 'a', 'unseen')
    expect(await apply(purgeOf(at(60_000)))).toEqual({ result: 'conflict', won: true })
    expect(await content()).toBeUndefined()
    await store.put('photos', 'a', 'seen')
    const seen = store.engine.headObject({ bucket: 'photos', key: 'a' })?.version
    if (seen === undefined) throw new Error('the object is there')
    expect(await apply(purgeOf(at(120_000), [seen]))).toEqual({ result: 'applied' })
    expect(local.version < seen).toBe(true)
  })

  it('makes no conflict of a write that comes behind it', async () => {
    await Promise.all(Array.from({ length: 600 }, (_, i) => store.put('photos', `k${i}`, 'x')))
    const local = await store.put('photos', 'a', 'local')
    const purged = apply(purgeOf(at(60_000), [local.version]))
    const put = apply(putOf(at(61_000), 'behind'))
    expect(await purged).toEqual({ result: 'applied' })
    expect(await put).toEqual({ result: 'applied' })
    expect(await content()).toBe('behind')
  })

  it('names a put it had not seen as a conflict', async () => {
    await apply(purgeOf(at(5), [at(1, 'third')]))
    expect(await apply(putOf(at(1, 'third'), 'seen'))).toEqual({ result: 'superseded' })
    expect(await apply(putOf(at(2, 'third'), 'unseen'))).toEqual({ result: 'conflict', won: false })
  })
})

describe('any interleaving of changes', () => {
  const mutations: readonly IncomingChange[] = [
    putOf(at(1, 'x'), 'x1'),
    putOf(at(2, 'y'), 'y2'),
    putOf(at(3, 'x'), 'x3', [at(2, 'y')]),
    deleteOf(at(4, 'z'), [at(1, 'x')]),
    putOf(at(5, 'y'), 'y5', [at(3, 'x')]),
    purgeOf(at(2, 'z'), [at(1, 'x')]),
  ]

  it('ends in the same state', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([...mutations], { minLength: 6 }),
        fc.nat({ max: 5 }),
        async (order, again) => {
          const fresh = await TestStore.open()
          try {
            for (const change of [...order, order[again] as IncomingChange])
              await fresh.engine.apply([change], undefined)
            expect((await fresh.get('photos', 'a'))?.toString()).toBe('y5')
            const [place] = (await fresh.engine.feed.readPlaces(0, 10)).filter(
              (one) => one.slot.kind === 'object',
            )
            const change = place && fresh.engine.feed.loadChange(place)
            change?.object?.close()
            expect(change?.mutation).toMatchObject({ version: at(5, 'y') })
          } finally {
            await fresh.remove()
          }
        },
      ),
      { numRuns: 12 },
    )
  })
})

describe('a staged upload', () => {
  const bytes = randomBytes(900_000)
  const mutation = (): PutMutation => putOf(at(0), bytes).mutation

  it('survives a restart up to its last checkpoint and is taken over by its put', async () => {
    const first = await store.engine.stageUpload(mutation())
    await first.append(bytes.subarray(0, 300_000))
    await first.checkpoint()
    await first.append(bytes.subarray(300_000, 500_000))
    await store.reopen()
    const second = await store.engine.stageUpload(mutation())
    expect(second.heldBytes).toBe(300_000)
    await second.append(bytes.subarray(300_000, 600_000))
    await second.checkpoint()
    await second.append(bytes.subarray(600_000))
    const change: IncomingChange = {
      mutation: mutation(),
      body: { kind: 'staged', upload: second },
    }
    expect(await apply(change)).toEqual({ result: 'applied' })
    await store.reopen()
    expect(
      createHash('sha256')
        .update((await store.get('photos', 'a')) ?? '')
        .digest(),
    ).toEqual(mutation().meta.contentHash.digest)
    expect((await store.engine.stageUpload(mutation())).heldBytes).toBe(0)
    await store.loseIndex()
    expect((await store.get('photos', 'a'))?.equals(bytes)).toBe(true)
  })

  it('is hashed by SHA-256 alone, since it has its ETag', async () => {
    await store.remove()
    const openBody = (): never => {
      throw new Error('nobody asks for an MD5')
    }
    store = await TestStore.open({ hashing: { ...inlineHashing, openBody } })
    const upload = await store.engine.stageUpload(mutation())
    await upload.append(bytes)
    const body = { kind: 'staged', upload } as const
    expect(await apply({ mutation: mutation(), body })).toEqual({ result: 'applied' })
    expect((await store.get('photos', 'a'))?.equals(bytes)).toBe(true)
  })

  it('with other bytes than announced is refused', async () => {
    const upload = await store.engine.stageUpload(mutation())
    await upload.append(Buffer.alloc(900_000))
    const change: IncomingChange = { mutation: mutation(), body: { kind: 'staged', upload } }
    expect(await apply(change)).toMatchObject({ result: 'refused', code: 'CONTENT_MISMATCH' })
  })

  it('that nobody has open is given up, and begun anew by whoever comes meanwhile', async () => {
    const { engine } = store
    const first = await engine.stageUpload(mutation())
    await first.append(bytes.subarray(0, 400_000))
    await first.checkpoint()
    expect(engine.restingUploads()).toEqual([])
    await engine.giveUpUpload(mutation())
    await first.close()
    const { slot, version } = mutation()
    expect(engine.restingUploads()).toEqual([{ slot, version }])
    const ending = engine.giveUpUpload(mutation())
    expect(engine.restingUploads()).toEqual([])
    const [second] = await Promise.all([engine.stageUpload(mutation()), ending])
    expect(second.heldBytes).toBe(0)
    await second.append(bytes)
    const change: IncomingChange = {
      mutation: mutation(),
      body: { kind: 'staged', upload: second },
    }
    expect(await apply(change)).toEqual({ result: 'applied' })
    expect((await store.get('photos', 'a'))?.equals(bytes)).toBe(true)
  })

  it('gives its bytes up when it is aborted or overtaken', async () => {
    const held = async (): Promise<number> => (await store.engine.stageUpload(mutation())).heldBytes
    for (const end of ['abort', 'overtaken'] as const) {
      const upload = await store.engine.stageUpload(mutation())
      await upload.append(bytes.subarray(0, 400_000))
      await upload.checkpoint()
      expect(await held()).toBe(400_000)
      if (end === 'abort') await (await store.engine.stageUpload(mutation())).abort()
      else await apply(putOf(at(9), 'newer'))
      expect(await held()).toBe(0)
    }
  })

  it('is told of whatever takes its place here, be it a client, and of nothing else', async () => {
    await store.put('photos', 'a', 'a client wrote before')
    const { engine } = store
    const takers = {
      put: () => store.put('photos', 'a', 'a client writes'),
      delete: () => engine.deleteObject({ bucket: 'photos', key: 'a' }),
      purge: () => engine.purgeBucket('photos'),
    }
    for (const take of Object.values(takers)) {
      const upload = await engine.stageUpload(mutation())
      await store.put('photos', 'b', 'another object')
      await store.put('videos', 'a', 'in another bucket')
      expect(upload.overtaken.aborted).toBe(false)
      await take()
      expect(upload.overtaken.aborted).toBe(true)
      await upload.abort()
    }
  })

  it('leaves nothing behind when it is overtaken while it is made durable', async () => {
    for (const newer of [putOf(at(9), 'newer'), deleteOf(at(19)), purgeOf(at(29))]) {
      const upload = await store.engine.stageUpload(mutation())
      await upload.append(bytes.subarray(0, 400_000))
      const checkpoint = upload.checkpoint()
      await apply(newer)
      await checkpoint
      await upload.close()
      expect((await store.engine.stageUpload(mutation())).heldBytes).toBe(0)
      await store.reopen()
      expect((await store.engine.stageUpload(mutation())).heldBytes).toBe(0)
    }
  })

  it('that loses a conflict while it is made durable can still be completed and kept', async () => {
    await store.remove()
    store = await TestStore.open({ conflictPolicy: 'keep-both' })
    const upload = await store.engine.stageUpload(mutation())
    await upload.append(bytes.subarray(0, 400_000))
    const checkpoint = upload.checkpoint()
    await apply(putOf(at(9, 'elsewhere'), 'newer'))
    await checkpoint
    await upload.append(bytes.subarray(400_000))
    const change: IncomingChange = { mutation: mutation(), body: { kind: 'staged', upload } }
    expect(await apply(change)).toEqual({ result: 'conflict', won: false })
    const kept = (await store.keys('photos')).find((key) => key !== 'a')
    expect((await store.get('photos', kept ?? ''))?.equals(bytes)).toBe(true)
  })

  it('whose part could not be indexed is refused for now, and goes on after a restart', async () => {
    const upload = await store.engine.stageUpload(mutation())
    await upload.append(bytes.subarray(0, 400_000))
    const failing = vi.spyOn(LevelIndex.prototype, 'write').mockRejectedValueOnce(new Error('no'))
    await expect(upload.checkpoint()).rejects.toThrow(StoreUnavailableError)
    failing.mockRestore()
    await expect(store.engine.stageUpload(mutation())).rejects.toThrow(StoreUnavailableError)
    await store.reopen()
    expect((await store.engine.stageUpload(mutation())).heldBytes).toBe(400_000)
  })

  it('leaves no bytes behind when its put comes by another way', async () => {
    const upload = await store.engine.stageUpload(mutation())
    await upload.append(bytes.subarray(0, 400_000))
    await upload.checkpoint()
    await upload.close()
    expect(await apply(putOf(at(0), bytes))).toEqual({ result: 'applied' })
    expect(await store.blobCount()).toBe(1)
    expect((await store.get('photos', 'a'))?.equals(bytes)).toBe(true)
    await store.loseIndex()
    expect(await store.blobCount()).toBe(1)
  })

  it('that was given up is not missed when its end and its bytes are gone from the volume', async () => {
    // The records of the upload stay, in the log's first segment; the abort goes with another one.
    await store.put('photos', 'stays', 'in the first segment')
    const upload = await store.engine.stageUpload(mutation())
    await upload.append(bytes.subarray(0, 400_000))
    await upload.checkpoint()
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) await store.put('photos', 'filler', randomBytes(60_000))
    }
    await fill()
    await upload.abort()
    await fill()
    for (let i = 0; i < 3; i++) await store.put('photos', 'large', randomBytes(700_000))
    await vi.waitFor(() => expect(store.volume.segments().length).toBeLessThan(5), 20_000)
    await store.loseIndex()
    expect((await store.engine.stageUpload(mutation())).heldBytes).toBe(0)
  })
})

describe('what a site has stored of a sender', () => {
  it('is there after a restart', async () => {
    await store.engine.apply([putOf(at(0), 'x')], {
      volumeId: 'v',
      incarnation: 'i',
      through: 12,
      epoch: 0,
      ended: false,
    })
    await store.reopen()
    expect(store.engine.peerMark('v')).toEqual({
      volumeId: 'v',
      incarnation: 'i',
      through: 12,
      epoch: 0,
      ended: false,
    })
    expect(store.engine.peerMark('w')).toBeUndefined()
  })
})
