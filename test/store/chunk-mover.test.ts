/** Large objects whose segments are cleaned: nobody who uses one notices. */
import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import type { PutMutation } from '../../src/store/model/mutation.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { MemoryStore } from './memory-store.ts'

const kib = 1024
/** Chunks of 8 KiB, four to a segment. */
const segmentBytes = 64 * kib
const large = 40 * kib
const random = seededRandom(11)
const patience = { timeout: 60_000 }

let store: MemoryStore
beforeEach(async () => {
  store = await openStore()
})
afterEach(() => store.close())

/** Cleans whatever is sparse, at once. */
function openStore(): Promise<MemoryStore> {
  return MemoryStore.open({
    segmentBytes,
    capacityBytes: 64 * segmentBytes,
    reclaim: { rate: 0, beginPercent: 100, livePercentMax: 95 },
  })
}

function bytes(length: number): Buffer {
  return Buffer.from(random.bytes(length))
}

/** Large objects one after the other, in segments that two of them share. */
async function fill(keys: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
  const contents = new Map(keys.map((key) => [key, bytes(large)]))
  await Promise.all([...contents].map(([key, content]) => store.put(key, content)))
  return contents
}

function bulkSegments(): readonly number[] {
  const bulk = store.volume.segments().filter(({ stream }) => stream === 'bulk')
  return bulk.map(({ generation }) => generation)
}

/** Deletes every second object, and waits until the segments that they shared with others are gone. */
async function thin(keys: readonly string[]): Promise<void> {
  const before = bulkSegments().slice(0, -1)
  for (const key of keys.filter((_, at) => at % 2 === 1)) await store.delete(key)
  await vi.waitFor(() => {
    const left = bulkSegments()
    expect(before.filter((generation) => left.includes(generation))).toEqual([])
  }, patience)
  expect(store.engine.reclaimed.movedRecords).toBeGreaterThan(0)
}

const keys = Array.from({ length: 8 }, (_, at) => `k${at}`)

async function expectContents(contents: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const [key, content] of contents) {
    const isLive = keys.indexOf(key) % 2 === 0
    expect((await store.get(key))?.equals(content), key).toBe(isLive ? true : undefined)
  }
}

describe('large objects in segments that were cleaned', () => {
  it('are there, also after a restart and in an index that is built anew', async () => {
    const contents = await fill(keys)
    await thin(keys)
    await expectContents(contents)
    await store.reopen()
    await expectContents(contents)
    await store.loseIndex()
    await expectContents(contents)
    // Their space is counted: when they go it all comes back.
    for (const key of keys) await store.delete(key)
    await vi.waitFor(() => expect(bulkSegments().length).toBeLessThanOrEqual(1), patience)
  })

  it('are found when the start that builds the index anew is cut off and made again', async () => {
    const contents = await fill(keys)
    await thin(keys)
    await store.loseIndex()
    await store.losePower()
    await expectContents(contents)
  })

  it('are read to the end by a reader who had one open, which keeps its segments until then', async () => {
    const contents = await fill(keys)
    const object = store.engine.openObject({ bucket: 'photos', key: 'k0' })
    const pieces = object?.read()[Symbol.asyncIterator]()
    const first = await pieces?.next()
    const held = bulkSegments()[0]
    for (const key of keys.filter((_, at) => at % 2 === 1)) await store.delete(key)
    await vi.waitFor(
      () => expect(store.engine.reclaimed.movedRecords).toBeGreaterThan(16),
      patience,
    )
    expect(bulkSegments()).toContain(held)
    const read = [first?.value]
    for (let next = await pieces?.next(); next?.done === false; next = await pieces?.next()) {
      read.push(next.value)
    }
    expect(Buffer.concat(read as Buffer[]).equals(contents.get('k0') as Buffer)).toBe(true)
    object?.close()
    await store.put('small', bytes(10))
    await vi.waitFor(() => expect(bulkSegments()).not.toContain(held), patience)
    await expectContents(contents)
  })

  it('go to a remote that is behind as they were written', async () => {
    await store.engine.ledger('there')
    const contents = await fill(keys)
    await thin(keys)
    let sent = 0
    for (const place of await store.engine.feed.readPlaces(0, 100)) {
      const change = store.engine.feed.loadChange(place)
      if (change?.object === undefined) continue
      const body = await change.object.readWhole()
      change.object.close()
      const { mutation } = change
      const key = mutation.slot.kind === 'object' ? mutation.slot.key : ''
      expect(body.equals(contents.get(key) as Buffer)).toBe(true)
      sent++
    }
    expect(sent).toBe(4)
  })
})

describe('an upload with parts', () => {
  const content = bytes(3 * large)
  const mutation: PutMutation = {
    kind: 'put',
    slot: { kind: 'object', bucket: 'photos', key: 'pulled', versionId: 'null' },
    version: makeVersion(1_700_000_000_000, 0, 'there'),
    context: [],
    meta: {
      size: content.length,
      etag: hash('md5', content, 'hex'),
      contentHash: { algorithm: 'sha256', digest: hash('sha256', content, 'buffer') },
      lastModified: 0,
      headers: {},
      userMetadata: {},
    },
  }

  async function finish(from: number): Promise<void> {
    const upload = await store.engine.stageUpload(mutation)
    expect(upload.heldBytes).toBe(from)
    await upload.append(content.subarray(from))
    const put = { mutation, body: { kind: 'staged' as const, upload } }
    expect(await store.engine.apply([put], undefined)).toEqual([{ result: 'applied' }])
  }

  it('goes on where it was when its segments were cleaned meanwhile, and is whole', async () => {
    const upload = await store.engine.stageUpload(mutation)
    await Promise.all([fill(keys), upload.append(content.subarray(0, large))])
    await upload.checkpoint()
    await upload.close()
    await thin(keys)
    await store.reopen()
    await finish(large)
    await store.loseIndex()
    expect((await store.get('pulled'))?.equals(content)).toBe(true)
  })

  it('is whole when its segments were cleaned while it was open', async () => {
    const upload = await store.engine.stageUpload(mutation)
    await Promise.all([fill(keys), upload.append(content.subarray(0, large))])
    await upload.checkpoint()
    await thin(keys)
    await upload.append(content.subarray(large))
    const put = { mutation, body: { kind: 'staged' as const, upload } }
    expect(await store.engine.apply([put], undefined)).toEqual([{ result: 'applied' }])
    expect((await store.get('pulled'))?.equals(content)).toBe(true)
    await store.loseIndex()
    expect((await store.get('pulled'))?.equals(content)).toBe(true)
  })
})

describe('a power loss while chunks are moved', () => {
  it('at any step leaves every object whole', async () => {
    for (let step = 1; step <= 40; step += 5) {
      await store.close()
      store = await openStore()
      const contents = await fill(keys)
      const deleted = keys.filter((_, at) => at % 2 === 1)
      store.disk.powerOffAt = store.disk.operations + step
      for (const key of deleted) await store.delete(key).catch(() => undefined)
      await vi.waitFor(
        () => expect(store.disk.operations).toBeGreaterThanOrEqual(store.disk.powerOffAt),
        patience,
      )
      await store.losePower()
      for (const key of deleted) await store.delete(key)
      await expectContents(contents)
      await store.loseIndex()
      await expectContents(contents)
    }
  })
})
