import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RecentChanges } from '../../src/store/feed/recent-changes.ts'
import { encodeMutation, type Mutation } from '../../src/store/model/mutation.ts'
import type { FeedPlace } from '../../src/store/model/object-store.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import type { WrittenChange } from '../../src/store/tables/index-batch.ts'
import { TestStore } from './open-store.ts'

const placeAt = (seq: number): FeedPlace => ({
  seq,
  slot: objectSlot('photos', `k${seq}`),
  version: makeVersion(seq, 0, 'here'),
  bytes: 0,
  since: 0,
})

function written(seq: number, bytes: Uint8Array): WrittenChange {
  const { slot, version } = placeAt(seq)
  return {
    encoded: encodeMutation({ kind: 'delete', slot, version, context: [] } as Mutation),
    bytes,
  }
}

describe('the newest changes of a feed', () => {
  it('answer for every place above the oldest they hold, and for none below', () => {
    const recent = new RecentChanges(10)
    recent.note(
      Array.from({ length: 1500 }, (_, i) => ({ place: placeAt(11 + i), written: undefined })),
    )
    expect(recent.placesAfter(10, 10)).toBeUndefined()
    const [first] = recent.placesAfter(1510 - 1024, 10) ?? []
    expect(first?.seq).toBe(1510 - 1023)
    expect(recent.placesAfter(1510, 10)).toEqual([])
    recent.note([{ gone: 1509 }, { place: placeAt(1600), written: undefined }])
    expect(recent.placesAfter(1507, 10)?.map(({ seq }) => seq)).toEqual([1508, 1510, 1600])
    recent.forget(1600)
    expect(recent.placesAfter(1599, 10)).toBeUndefined()
    expect(recent.placesAfter(1600, 10)).toEqual([])
  })

  it('hold a few mebibytes at most, what shares a buffer counted once', () => {
    const recent = new RecentChanges(0)
    const write = (from: number, count: number, bytesOf: () => Uint8Array): void => {
      for (let seq = from; seq < from + count; seq++) {
        recent.note([{ place: placeAt(seq), written: written(seq, bytesOf()) }])
      }
    }
    write(1, 400, () => new Uint8Array(32 * 1024))
    expect(recent.writtenAt(400)?.bytes).toHaveLength(32 * 1024)
    expect(recent.writtenAt(400 - 256)).toBeUndefined()
    const shared = new Uint8Array(2 ** 20)
    write(401, 500, () => shared.subarray(0, 100))
    expect(recent.writtenAt(401)).toBeDefined()
    write(901, 1, () => new Uint8Array(2 ** 21).subarray(0, 100))
    write(902, 1, () => new Uint8Array(33 * 1024))
    expect([recent.writtenAt(901), recent.writtenAt(902)]).toEqual([undefined, undefined])
    expect(recent.placesAfter(900, 10)).toHaveLength(2)
  })
})

describe('a feed whose sender keeps up', () => {
  let store: TestStore
  beforeEach(async () => {
    store = await TestStore.open()
    await store.engine.ledger('default')
  })
  afterEach(() => store.remove())

  /** Every change as it would travel, and how many of them had to be read. */
  const shipped = async () => {
    let readCount = 0
    const changes: unknown[] = []
    for (const place of await store.engine.feed.readPlaces(0, 1000)) {
      const change = store.engine.feed.loadEncoded(place, 2 ** 20)
      const { object, encoded, bytes, version } = change ?? {}
      if (object !== undefined) readCount++
      const body = object === undefined ? bytes : await object.readWhole()
      object?.close()
      const hex = body === undefined ? undefined : Buffer.from(body).toString('hex')
      changes.push({ place, version, encoded, hex })
    }
    return { changes, readCount }
  }

  it('sends from memory what a restarted one reads from index and log, byte for byte', async () => {
    const { engine } = store
    for (let i = 0; i < 20; i++) await store.put('photos', `k${i}`, `first of ${i}`)
    await Promise.all(Array.from({ length: 8 }, (_, i) => store.put('photos', 'k3', `again ${i}`)))
    await store.put('photos', 'empty', '')
    await store.put('photos', 'long', 'x'.repeat(40_000))
    await engine.deleteObject({ bucket: 'photos', key: 'k5' })
    await engine.deleteObject({ bucket: 'photos', key: 'k6' })
    await store.put('photos', 'k6', 'back')
    await store.put('other', 'k', 'purged')
    await engine.purgeBucket('other')
    await store.put('other', 'k', 'after the purge')
    const live = await shipped()
    await store.reopen()
    await store.engine.ledger('default')
    const reread = await shipped()
    expect(live.changes).toEqual(reread.changes)
    // The long one alone is not worth its memory.
    expect(live.readCount).toBe(1)
    expect(reread.readCount).toBe(22)
  })

  it('does not send what a purge has covered meanwhile', async () => {
    await store.put('photos', 'k', 'gone')
    const [, place] = await store.engine.feed.readPlaces(0, 10)
    await store.engine.purgeBucket('photos')
    expect(place && store.engine.feed.loadEncoded(place, 2 ** 20)).toBeUndefined()
  })
})
