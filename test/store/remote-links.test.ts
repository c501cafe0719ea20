/** Where a site ships to, as its volume remembers it. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ByteReader } from '../../src/base/byte-reader.ts'
import { noDiscards } from '../../src/store/model/discards.ts'
import type { LinkedRemote, RemoteChange } from '../../src/store/model/object-store.ts'
import {
  decodeFilter,
  encodeFilter,
  isWanted,
  type PlaceFilter,
  wantsEverything,
} from '../../src/store/model/place-filter.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { decodeRemoteRecord, encodeRemoteRecord } from '../../src/store/tables/remote-entry.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open()
})
afterEach(() => store.remove())

const everything: RemoteChange = {
  filter: wantsEverything,
  settings: '{"url":"http://b"}',
  state: 'linked',
}

function linked(name: string): LinkedRemote {
  const found = store.engine.remotes.list().find((remote) => remote.name === name)
  if (found === undefined) throw new Error(`${name} is not linked`)
  return found
}

/** The keys of what a remote is handed, deletes with a minus before them. */
async function handed(name: string): Promise<readonly string[]> {
  const names: string[] = []
  const { ledger } = linked(name)
  for (const place of await ledger.take(1000)) {
    await ledger.settle([{ place, result: 'replicated' }])
    if (place.slot.kind !== 'object') continue
    const change = store.engine.feed.loadChange(place)
    names.push(change?.mutation.kind === 'delete' ? `-${place.slot.key}` : place.slot.key)
    change?.object?.close()
  }
  return names
}

const remove = (key: string) => store.engine.deleteObject({ bucket: 'docs', key })

describe('a remote', () => {
  it('may have hundreds of prefixes, and is refused clearly with more than a record holds', async () => {
    const prefixes = Array.from({ length: 300 }, (_, i) => `folder-of-department-${i}/`)
    await store.put('docs', 'folder-of-department-299/a', 'wanted')
    await store.put('docs', 'folder-of-nobody/a', 'not wanted')
    const settings = JSON.stringify({ url: 'http://b', prefixes })
    const change = { ...everything, settings, filter: { ...wantsEverything, prefixes } }
    await store.engine.remotes.link('b', change)
    await store.loseIndex()
    expect(linked('b').filter.prefixes).toHaveLength(300)
    expect(await handed('b')).toEqual(['folder-of-department-299/a'])
    const many = prefixes.map((prefix) => prefix + 'x'.repeat(200))
    const refused = { code: 'REMOTE_TOO_LARGE', message: expect.stringContaining('remote c') }
    const tooMany = { ...everything, filter: { ...wantsEverything, prefixes: many } }
    await expect(store.engine.remotes.link('c', tooMany)).rejects.toMatchObject(refused)
    await expect(store.engine.remotes.change('b', tooMany)).rejects.toMatchObject({
      code: 'REMOTE_TOO_LARGE',
    })
    expect(store.engine.remotes.list().map(({ name }) => name)).toEqual(['b'])
    expect(linked('b').filter.prefixes).toEqual(prefixes.toSorted())
  })

  it('is remembered with its settings, also when the index is lost', async () => {
    const { epoch } = await store.engine.remotes.link('b', everything)
    await store.engine.remotes.change('b', { state: 'paused' })
    for (const again of [() => store.reopen(), () => store.loseIndex()]) {
      await again()
      expect(linked('b')).toMatchObject({ epoch, settings: everything.settings, isPaused: true })
    }
  })

  it('is owed what was stored before a lost index, and what was deleted since its link began', async () => {
    await store.put('docs', 'a', '1')
    await store.put('docs', 'early', '1')
    await remove('early')
    await store.engine.remotes.link('b', everything)
    await store.put('docs', 'late', '1')
    await remove('late')
    expect(await handed('b')).toEqual(['a', '-late'])
    await store.loseIndex()
    expect(linked('b').ledger.counters()).toMatchObject({ pending: 3 })
    expect(await handed('b')).toEqual(['a', '-late'])
  })

  it('that is linked by another name when the clock has gone back has a higher epoch, too', async () => {
    const first = await store.engine.remotes.link('b', everything)
    await store.engine.remotes.unlink('b')
    store.skewMs = -3_600_000
    await store.loseIndex()
    const second = await store.engine.remotes.link('the same site', everything)
    expect(second.epoch).toBeGreaterThan(first.epoch)
  })

  it('that was removed keeps nothing, and a new link of its name has a higher epoch', async () => {
    const first = await store.engine.remotes.link('b', everything)
    await store.put('docs', 'a', '1')
    const [place] = await first.ledger.take(1)
    if (place === undefined) throw new Error('nothing is owed')
    await first.ledger.bury(place, { reason: 'it says no', attempts: 1 })
    await store.engine.remotes.unlink('b')
    expect(store.engine.remotes.list()).toEqual([])
    expect(store.engine.remotes.wasRemoved('b')).toBe(true)
    await store.reopen()
    expect(store.engine.ledgers()).toEqual([])
    const second = await store.engine.remotes.link('b', everything)
    expect(second.epoch).toBeGreaterThan(first.epoch)
    expect(await second.ledger.deadLetters(10)).toEqual([])
    expect(second.ledger.counters()).toMatchObject({ queued: 2, failed: 0, pending: 2 })
  })

  it('gets no delete that was made while the link was cut, and every one after', async () => {
    await store.put('docs', 'kept', '1')
    await store.put('docs', 'cut', '1')
    await store.engine.remotes.link('b', everything)
    expect(await handed('b')).toEqual(['kept', 'cut'])
    await store.engine.remotes.unlink('b')
    await remove('cut')
    await store.engine.remotes.link('b', everything)
    await remove('kept')
    expect(await handed('b')).toEqual(['-kept'])
  })

  it('that wants some buckets and prefixes is owed those, exactly', async () => {
    const filter = { ...wantsEverything, buckets: ['docs'], excludePrefixes: ['tmp/'] }
    await store.put('docs', 'before', '12')
    await store.put('other', 'before', '1')
    await store.engine.remotes.link('b', { ...everything, filter })
    await store.put('docs', 'after', '123')
    await store.put('docs', 'tmp/x', '1')
    await store.put('other', 'after', '1')
    const { ledger } = linked('b')
    // Two objects, and the bucket itself.
    expect(ledger.counters()).toMatchObject({ pending: 3, pendingBytes: 5 })
    await remove('tmp/x')
    expect(ledger.counters()).toMatchObject({ pending: 3, pendingBytes: 5 })
    expect(await ledger.oldestPending()).toBeDefined()
    expect(await handed('b')).toEqual(['before', 'after'])
  })

  it('that is to want more gets it from the beginning, and the books balance', async () => {
    const filter = { ...wantsEverything, prefixes: ['a/'] }
    await store.engine.remotes.link('b', { ...everything, filter })
    for (const key of ['a/1', 'b/1', 'c/1']) await store.put('docs', key, '1')
    expect(await handed('b')).toEqual(['a/1'])
    await store.engine.remotes.change('b', { filter: { ...filter, prefixes: ['a/', 'b/'] } })
    const { queued, replicated, failed, superseded, pending } = linked('b').ledger.counters()
    expect(queued).toBe(replicated + failed + superseded + pending)
    expect(await handed('b')).toEqual(['a/1', 'b/1'])
    expect((await linked('b').ledger.replay({ from: 0 }, { dryRun: true })).count).toBe(3)
  })
})

describe('a filter', () => {
  const names = fc.array(fc.string({ maxLength: 5 }), { maxLength: 4 })
  const filters: fc.Arbitrary<PlaceFilter> = fc.record({
    buckets: names,
    excludeBuckets: names,
    prefixes: names,
    excludePrefixes: names,
  })

  it('decodes to one that wants the same', () => {
    fc.assert(
      fc.property(filters, fc.string(), fc.string(), (filter, bucket, key) => {
        const again = decodeFilter(new ByteReader(encodeFilter(filter)))
        expect(encodeFilter(again).equals(encodeFilter(filter))).toBe(true)
        const slot = objectSlot(bucket, key)
        expect(isWanted(again, slot)).toBe(isWanted(filter, slot))
      }),
    )
  })

  it('lets a bucket and its purges go by the bucket alone', () => {
    const filter = { ...wantsEverything, buckets: ['docs'], prefixes: ['a/'] }
    expect(isWanted(filter, { kind: 'bucket', bucket: 'docs' })).toBe(true)
    expect(isWanted(filter, { kind: 'floor', bucket: 'docs' })).toBe(true)
    expect(isWanted(filter, { kind: 'floor', bucket: 'other' })).toBe(false)
    expect(isWanted(filter, objectSlot('docs', 'b/1'))).toBe(false)
  })
})

describe("a remote's record", () => {
  it('decodes to what was recorded', () => {
    const record = {
      name: 'site-b',
      revision: 3,
      epoch: 1_700_000_000_000,
      begunAt: 12,
      state: 'paused',
      filter: { ...wantsEverything, buckets: ['a', 'b'] },
      settings: '{"url":"https://b"}',
      discards: { letters: [3, 700, 70_000], removals: [{ after: 5, through: 9 }] },
    } as const
    expect(decodeRemoteRecord('site-b', encodeRemoteRecord(record))).toEqual(record)
    const nothingGivenUp = { ...record, discards: noDiscards }
    expect(decodeRemoteRecord('site-b', encodeRemoteRecord(nothingGivenUp))).toEqual(nothingGivenUp)
  })
})
