import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type BodyHasher, inlineHashing } from '../../src/store/model/body-hasher.ts'
import type { ObjectInfo } from '../../src/store/model/object-store.ts'
import { TestStore } from './open-store.ts'

const chunkBytes = 2 ** 17
const large = randomBytes(40 * chunkBytes + 77)

/** Hashes when it is let, and may fail. */
class HeldHasher implements BodyHasher {
  readonly #inner = inlineHashing.openBody()
  readonly #gate: Promise<void>
  closed = false

  constructor(gate: Promise<void>) {
    this.#gate = gate
  }

  async update(bytes: Uint8Array): Promise<void> {
    await this.#gate
    await this.#inner.update(bytes)
  }

  async digest(): ReturnType<BodyHasher['digest']> {
    await this.#gate
    return this.#inner.digest()
  }

  close(): void {
    this.closed = true
  }
}

let gate: PromiseWithResolvers<void>
let hasher: HeldHasher
let store: TestStore

beforeEach(async () => {
  gate = Promise.withResolvers()
  gate.promise.catch(() => undefined)
  hasher = new HeldHasher(gate.promise)
  store = await TestStore.open({ hashing: { ...inlineHashing, openBody: () => hasher } })
})
afterEach(() => store.remove())

function put(body: AsyncIterable<Buffer>): Promise<ObjectInfo> {
  return store.engine.putObject({
    ...{ bucket: 'films', key: 'film', body, contentLength: large.length },
    ...{ headers: {}, userMetadata: {}, createBucket: true },
  })
}

const pieceBytes = 10_000

/** A source that uses the memory of a piece again for the next, and counts. */
class Source {
  taken = 0
  readonly #stopAfter: number

  constructor(stopAfter = large.length) {
    this.#stopAfter = stopAfter
  }

  async *pieces(): AsyncGenerator<Buffer> {
    const memory = Buffer.alloc(pieceBytes)
    while (this.taken < this.#stopAfter) {
      const length = large.copy(memory, 0, this.taken, this.taken + pieceBytes)
      this.taken += length
      yield memory.subarray(0, length)
      memory.fill(0)
    }
  }
}

describe('a large body', () => {
  it('is held back while its hashing stands still, and is whole afterwards', async () => {
    const source = new Source()
    const done = put(source.pieces())
    // Its log is not busy: what is taken until nothing moves any more is the bound.
    let before = -1
    while (source.taken > before) {
      before = source.taken
      await store.put('films', 'other', 'small writes go on')
    }
    expect(source.taken).toBeGreaterThan(chunkBytes)
    expect(source.taken).toBeLessThan(8 * chunkBytes)
    gate.resolve()
    const { meta } = await done
    expect(meta.etag).toBe(createHash('md5').update(large).digest('hex'))
    expect((await store.get('films', 'film'))?.equals(large)).toBe(true)
    expect(hasher.closed).toBe(true)
  })

  it.each([
    ['its hashing fails', large.length, 'the thread is gone'],
    ['it is cut', 5 * chunkBytes, /bytes/],
  ])('leaves nothing when %s', async (_, stopAfter, reason) => {
    const source = new Source(stopAfter)
    const done = expect(put(source.pieces())).rejects.toThrow(reason)
    if (stopAfter < large.length) gate.resolve()
    else gate.reject(new Error('the thread is gone'))
    await done
    expect(hasher.closed).toBe(true)
    expect(await store.get('films', 'film')).toBeUndefined()
    expect(await store.blobCount()).toBe(0)
  })

  it('is whole however often its source rests, and in however small parts it came', async () => {
    gate.resolve()
    async function* resting(): AsyncGenerator<Buffer> {
      for (let at = 0, size = 1; at < large.length; at += size, size = size === 1 ? 70_000 : 1) {
        yield large.subarray(at, at + size)
        yield Buffer.alloc(0)
      }
    }
    await put(resting())
    expect((await store.get('films', 'film'))?.equals(large)).toBe(true)
  })

  it('is read in pieces that stay, or pass when that is asked for', async () => {
    gate.resolve()
    await put(new Source().pieces())
    const object = store.engine.openObject({ bucket: 'films', key: 'film' })
    const range = { start: 1000, end: large.length - 1 }
    const kept: Buffer[] = []
    for await (const piece of object?.read(range) ?? []) kept.push(piece)
    expect(Buffer.concat(kept).equals(large.subarray(range.start, range.end))).toBe(true)
    const passed: Buffer[] = []
    const copies: Buffer[] = []
    for await (const piece of object?.read(range, { passing: true }) ?? []) {
      expect(passed.every(({ length }) => length === 0)).toBe(true)
      passed.push(piece)
      copies.push(Buffer.from(piece))
    }
    expect(Buffer.concat(copies).equals(large.subarray(range.start, range.end))).toBe(true)
    object?.close()
  })
})
