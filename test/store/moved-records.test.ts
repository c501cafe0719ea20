/** What a crash leaves between the append of a copy and its index batch, and how a rebuild sees it. */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { recordKinds } from '../../src/store/tables/records.ts'
import { type RecordInput, Volume } from '../../src/volume/volume.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open({ segmentBytes: 64 * 1024 })
})
afterEach(() => store.remove())

/** Writes every record of the log once more, in an order of the caller's, and tells the index nothing. */
async function copyAllRecords(
  order: (records: readonly RecordInput[]) => readonly RecordInput[],
): Promise<number> {
  await store.close()
  const volume = await Volume.open({
    device: await DirectoryDevice.open(join(store.folder, 'volume')),
    random: systemRandom,
    clock: systemClock,
    logger: silentLogger,
  })
  const records: RecordInput[] = []
  for await (const { kind, seq, label, head, location } of volume.replay(undefined)) {
    // What a purge has taken away is not copied behind it.
    if (kind === recordKinds.put && label.includes('purged')) continue
    const { body } = await volume.readRecord(location, { seq })
    records.push({ kind, seq, label, head, body: body.length === 0 ? [] : [body] })
  }
  await volume.activate()
  const { generation } = volume.logPosition()
  for (const record of order(records)) await volume.appendGroup([record])
  await volume.close()
  return generation
}

async function state(): Promise<unknown> {
  const places = await store.engine.feed.readPlaces(0, 1000)
  const contents: unknown[] = []
  for (const { name } of await store.engine.listBuckets()) {
    contents.push([name, await store.engine.previewPurge(name)])
    for (const key of await store.keys(name)) {
      contents.push([key, (await store.get(name, key))?.toString()])
    }
  }
  return {
    contents,
    places: places.map(({ seq, slot, version, bytes }) => ({ seq, slot, version, bytes })),
    pending: (await store.engine.ledger('there')).counters().pending,
  }
}

/** Objects, deletions, a slot that was put again, a purge, a deleted bucket, a remote. */
async function fillSome(): Promise<void> {
  await store.engine.ledger('there')
  for (let i = 0; i < 6; i++) await store.put('photos', `k${i}`, `content ${i}`)
  for (const key of ['k0', 'k1', 'k2']) await store.engine.deleteObject({ bucket: 'photos', key })
  await store.put('photos', 'k1', 'again')
  await store.put('photos', 'large', 'x'.repeat(20_000))
  await store.put('purged', 'a', 'x')
  await store.engine.purgeBucket('purged')
  await store.put('gone', 'a', 'x')
  await store.engine.deleteObject({ bucket: 'gone', key: 'a' })
  await store.engine.deleteBucket('gone')
  await store.engine.deleteBucket('purged').catch(() => undefined)
}

describe('copies of records that the index does not know yet', () => {
  it.each([
    ['in their order', (records: readonly RecordInput[]) => records],
    ['in any other', (records: readonly RecordInput[]) => records.toReversed()],
  ])('%s take over, and the segments of the first ones are freed', async (_, order) => {
    await fillSome()
    const before = await state()
    const first = await copyAllRecords(order)
    await store.reopen()
    expect(await state()).toEqual(before)
    await vi.waitFor(() => {
      const logs = store.volume.segments().filter(({ stream }) => stream === 'log')
      expect(logs.every(({ generation }) => generation >= first)).toBe(true)
    }, 20_000)
    await store.loseIndex()
    expect(await state()).toEqual(before)
  })

  it('change nothing in a rebuild that finds both', async () => {
    await fillSome()
    const before = await state()
    await copyAllRecords((records) => records.toReversed())
    await store.loseIndex()
    await store.engine.deleteBucket('purged').catch(() => undefined) // waits for the sweep
    expect(await state()).toEqual(before)
  })

  it('leave a context that was widened as wide as it is', async () => {
    await store.put('photos', 'a', 'local')
    const bytes = Buffer.from('lost')
    const change = {
      mutation: {
        kind: 'put' as const,
        slot: { kind: 'object' as const, bucket: 'photos', key: 'a', versionId: 'null' as const },
        version: makeVersion(1, 0, 'there'),
        context: [],
        meta: {
          size: bytes.length,
          etag: hash('md5', bytes, 'hex'),
          contentHash: { algorithm: 'sha256' as const, digest: hash('sha256', bytes, 'buffer') },
          lastModified: 0,
          headers: {},
          userMetadata: {},
        },
      },
      body: { kind: 'inline' as const, bytes },
    }
    const applied = (): Promise<unknown> => store.engine.apply([change], undefined)
    expect(await applied()).toEqual([{ result: 'conflict', won: false }])
    const before = await state()
    await copyAllRecords((records) => records)
    for (const open of [() => store.reopen(), () => store.loseIndex()]) {
      await open()
      expect(await state()).toEqual(before)
      expect(await applied()).toEqual([{ result: 'superseded' }])
    }
  })
})
