import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { continueBehind, rebuildIndex } from '../../src/store/recovery/rebuild.ts'
import type { LogDamage } from '../../src/store/recovery/salvaged-log.ts'
import { decodeSuperblock, encodeSuperblock } from '../../src/volume/format/superblock.ts'
import { FaultyDisk } from '../volume/faulty-disk.ts'
import { BareStore } from './bare-store.ts'

const logSegments = ({ volume }: BareStore) =>
  volume.segments().filter(({ stream }) => stream === 'log')

/** Closed, with so many segments of the log. */
async function storeWith(segments: number, random = seededRandom(1)) {
  const store = new BareStore(new FaultyDisk())
  await store.open()
  const names = { bucket: 'photos', createBucket: true, headers: {}, userMetadata: {} }
  while (logSegments(store).length < segments) {
    const key = `k${randomBelow(random, 60)}`
    if (randomBelow(random, 3) === 0 && (await store.engine.bucketExists('photos'))) {
      await store.engine.deleteObject({ bucket: 'photos', key })
      continue
    }
    const body = Buffer.alloc(randomBelow(random, 4000), key)
    await store.engine.putObject({ ...names, key, body, contentLength: body.length })
  }
  const [log, head] = [logSegments(store), store.engine.feed.head()]
  await store.close()
  return { store, log, head }
}

async function rebuilt(store: BareStore): Promise<{ index: MemoryIndexDisk; damage: LogDamage }> {
  const index = new MemoryIndexDisk()
  const volume = await store.openVolume({ salvage: true })
  const opened = await MemoryIndex.open({ disk: index })
  const surroundings = { clock: store.clock, random: seededRandom(2), logger: silentLogger }
  const { damage } = await rebuildIndex(opened, { volume, ...surroundings })
  await continueBehind(opened, volume)
  await opened.close()
  await volume.close()
  return { index, damage }
}

/** With the new index, and also where the log alone is left. */
async function expectHeadFrom(head: number, store: BareStore, index: MemoryIndexDisk) {
  for (const one of [index, new MemoryIndexDisk()]) {
    const next = new BareStore(store.disk.afterKill(), one)
    await next.open()
    expect(next.engine.feed.head()).toBeGreaterThanOrEqual(head)
    await next.close()
  }
}

function pick(random: Random, from: readonly number[]): ReadonlySet<number> {
  const gone = from.filter(() => randomBelow(random, 3) === 0)
  return new Set(gone.length === 0 || gone.length === from.length ? from.slice(-1) : gone)
}

describe('An index that is rebuilt without some segments of the log', () => {
  it.each([1, 2, 3, 4, 5, 6])(
    'says which, opens, and gives no seq again that was in one (seed %i)',
    async (seed) => {
      const random = seededRandom(seed)
      const { store, log, head } = await storeWith(6, random)
      const gone = pick(
        random,
        log.map(({ segment }) => segment),
      )
      for (const segment of gone) store.disk.segments.delete(segment)
      await expect(store.openVolume()).rejects.toMatchObject({ code: 'LOG_LOST' })
      const { index, damage } = await rebuilt(store)
      const unknown = damage.losses.filter(({ kind }) => kind === undefined)
      expect(new Set(unknown.map(({ segment }) => segment))).toEqual(gone)
      await expectHeadFrom(head, store, index)
    },
  )

  it('counts those that the superblock does not name', async () => {
    const { store, log, head } = await storeWith(4)
    store.disk.segments.delete(log[1]?.segment ?? 0)
    const superblock = decodeSuperblock((await store.disk.readSuperblock()) ?? Buffer.of(), 'disk')
    await store.disk.writeSuperblock(encodeSuperblock({ ...superblock, register: [] }))
    await expect(store.openVolume()).rejects.toThrow('log segments expected')
    const { index, damage } = await rebuilt(store)
    const mismatch = 'segments of the log are missing that nothing names: 1'
    expect(damage.losses).toEqual([expect.objectContaining({ kind: undefined, mismatch })])
    await expectHeadFrom(head, store, index)
  })
})
