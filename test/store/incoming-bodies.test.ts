import { hash, randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type ContentHasher,
  type Hashing,
  inlineHashing,
} from '../../src/store/model/body-hasher.ts'
import { StoreUnavailableError } from '../../src/store/model/errors.ts'
import type { IncomingBody, IncomingChange } from '../../src/store/model/object-store.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
afterEach(() => store.remove())

const now = Date.now()

function changeOf(key: string, content: Buffer, body: IncomingBody): IncomingChange {
  const meta = {
    size: content.length,
    etag: hash('md5', content, 'hex'),
    contentHash: { algorithm: 'sha256' as const, digest: hash('sha256', content, 'buffer') },
    ...{ lastModified: now, headers: {}, userMetadata: {} },
  }
  const version = makeVersion(now, 0, 'there')
  const slot = objectSlot('films', key)
  return { mutation: { kind: 'put', slot, version, context: [], meta }, body }
}

function passing(content: Buffer, pieceBytes = 50_000): IncomingBody & { kind: 'passing' } {
  const pieces: Buffer[] = []
  for (let at = 0; at < content.length; at += pieceBytes) {
    pieces.push(Buffer.from(content.subarray(at, at + pieceBytes)))
  }
  return { kind: 'passing', pieces, length: content.length }
}

/** Hashes when it is let, and may fail. */
class HeldHashing implements Hashing {
  readonly openBody = inlineHashing.openBody
  readonly gate = Promise.withResolvers<void>()
  /** Chunks that were given to it. */
  taken = 0
  closed = 0

  openContent(): ContentHasher {
    const inner = inlineHashing.openContent()
    return {
      update: async (bytes) => {
        this.taken++
        await this.gate.promise
        await inner.update(bytes)
      },
      digest: async () => {
        await this.gate.promise
        return await inner.digest()
      },
      close: () => {
        this.closed++
      },
    }
  }
}

describe('a body from another site', () => {
  it.each([1000, 2 ** 16, 2 ** 16 + 1, 500_000])(
    'of %i bytes is whole when the memory that it came in is used for something else',
    async (length) => {
      store = await TestStore.open()
      const content = randomBytes(length)
      const body = passing(content)
      const [outcome] = await store.engine.apply([changeOf('film', content, body)], undefined)
      expect(outcome).toEqual({ result: 'applied' })
      for (const piece of body.pieces) piece.fill(0)
      expect((await store.get('films', 'film'))?.equals(content)).toBe(true)
      await store.loseIndex()
      expect((await store.get('films', 'film'))?.equals(content)).toBe(true)
    },
  )

  it.each([
    ['another hash', 'CONTENT_MISMATCH', (bytes: Buffer) => passing(Buffer.alloc(bytes.length))],
    ['another length', 'SIZE_MISMATCH', (bytes: Buffer) => passing(bytes.subarray(1))],
  ])('that has %s than it announced is refused, large or small', async (_, code, bodyOf) => {
    store = await TestStore.open()
    for (const length of [1000, 500_000]) {
      const content = randomBytes(length)
      const change = changeOf('film', content, bodyOf(content))
      expect(await store.engine.apply([change], undefined)).toMatchObject([
        { result: 'refused', code },
      ])
    }
    expect(store.engine.feed.head()).toBe(0)
    expect(await store.blobCount()).toBe(0)
  })

  it('whose hashing fails is wanted later, and leaves nothing', async () => {
    const hashing = new HeldHashing()
    store = await TestStore.open({ hashing })
    hashing.gate.reject(new StoreUnavailableError('the thread is gone'))
    const content = randomBytes(500_000)
    const change = changeOf('film', content, { kind: 'inline', bytes: content })
    expect(await store.engine.apply([change], undefined)).toEqual([
      { result: 'later', reason: 'the thread is gone' },
    ])
    expect(hashing.closed).toBe(1)
    expect(await store.blobCount()).toBe(0)
  })

  it('does not take chunks for itself while many others of its batch are hashed', async () => {
    const hashing = new HeldHashing()
    store = await TestStore.open({ hashing })
    const contents = Array.from({ length: 30 }, () => randomBytes(70_000))
    const done = store.engine.apply(
      contents.map((content, key) => changeOf(`film-${key}`, content, passing(content))),
      undefined,
    )
    // Its log is not busy: what is taken until nothing moves any more is the bound.
    for (let before = -1; hashing.taken > before; ) {
      before = hashing.taken
      await store.put('films', 'other', 'small writes go on')
    }
    expect(hashing.taken).toBe(8)
    hashing.gate.resolve()
    expect(await done).toEqual(contents.map(() => ({ result: 'applied' })))
    for (const [key, content] of contents.entries()) {
      expect((await store.get('films', `film-${key}`))?.equals(content)).toBe(true)
    }
    expect(hashing.closed).toBe(30)
  })
})
