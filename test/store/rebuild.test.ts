import { hash } from 'node:crypto'
import fc from 'fast-check'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { recount } from '../../src/sim/recount.ts'
import { readContents, type SiteContents } from '../../src/sim/site-contents.ts'
import { decodeUpload } from '../../src/store/intake/uploads.ts'
import { NoSuchBucketError } from '../../src/store/model/errors.ts'
import type { IncomingChange, StagedUpload } from '../../src/store/model/object-store.ts'
import { contextCovers, makeVersion, type Version } from '../../src/store/model/version.ts'
import { rebuildIndex } from '../../src/store/recovery/rebuild.ts'
import type { LogDamage } from '../../src/store/recovery/salvaged-log.ts'
import type { Location } from '../../src/volume/format/record.ts'
import type { SegmentInfo } from '../../src/volume/volume.ts'
import { FaultyDisk } from '../volume/faulty-disk.ts'
import { BareStore } from './bare-store.ts'
import { deadRecords } from './dead-records.ts'

const bucket = fc.constantFrom('photos', 'films')
const key = fc.constantFrom(...Array.from({ length: 8 }, (_, i) => `k${i}`))
const small = fc.integer({ min: 0, max: 4000 })
const large = fc.integer({ min: 20_000, max: 60_000 })
const size = fc.oneof({ weight: 3, arbitrary: small }, large)
/** How long ago, in clock ticks: so that some of what comes is older than what is here. */
const age = fc.integer({ min: 0, max: 400 })
const site = fc.constantFrom('there', 'yonder')
const seen = fc.boolean()

const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('put' as const), bucket, key, size }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), bucket, key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('purge' as const), bucket }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('applied put' as const),
      ...{ bucket, key, size, age, site, seen },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('applied delete' as const),
      ...{ bucket, key, age, site, seen },
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('applied purge' as const),
      ...{ bucket, age, site, seen },
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('upload' as const),
      ...{ bucket, key, size: large, site },
      end: fc.constantFrom('put' as const, 'abort' as const, 'left' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('ship' as const),
      remote: fc.constantFrom('b', 'c'),
      count: fc.integer({ min: 1, max: 20 }),
      refused: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

const contentOf = (bytes: number): Buffer => Buffer.alloc(bytes, `${bytes}, `)

function metaOf(content: Buffer, lastModified: number) {
  return {
    size: content.length,
    etag: hash('md5', content, 'hex'),
    contentHash: { algorithm: 'sha256' as const, digest: hash('sha256', content, 'buffer') },
    lastModified,
    headers: {},
    userMetadata: {},
  }
}

const slotOf = (bucketName: string, keyName: string) =>
  ({ kind: 'object', bucket: bucketName, key: keyName, versionId: 'null' }) as const

class Writer {
  readonly #store: BareStore
  #counter = 0

  constructor(store: BareStore) {
    this.#store = store
  }

  async run(step: Operation): Promise<void> {
    const { engine } = this.#store
    switch (step.kind) {
      case 'put': {
        const body = contentOf(step.size)
        const contentLength = body.length
        const texts = { headers: {}, userMetadata: {}, createBucket: true }
        await engine.putObject({ ...step, body, contentLength, ...texts })
        return
      }
      case 'delete':
        if (await engine.bucketExists(step.bucket)) await engine.deleteObject(step)
        return
      case 'purge':
        // It may end with the sweep of the purge before.
        await engine.purgeBucket(step.bucket).catch((thrown: unknown) => {
          if (!(thrown instanceof NoSuchBucketError)) throw thrown
        })
        return
      case 'applied put':
      case 'applied delete':
      case 'applied purge':
        await engine.apply([this.#incoming(step)], undefined)
        return
      case 'upload':
        await this.#upload(step)
        return
      case 'ship':
        await this.#ship(step)
        return
      case 'restart':
        await this.#store.close()
        await this.#store.open()
    }
  }

  #version(ago: number, site: string): Version {
    return makeVersion(this.#store.clock.now() - ago, this.#counter++ % 65_536, site)
  }

  /** What the other site had seen: nothing, or what is here now. */
  #context(step: { bucket: string; key: string; seen: boolean; site: string }, version: Version) {
    if (!step.seen) return []
    const current = this.#store.engine.headObject(step)?.version
    const isOwn = current?.endsWith(`-${step.site}`)
    return current === undefined || isOwn || current >= version ? [] : [current]
  }

  #incoming(step: Operation & { readonly kind: `applied ${string}` }): IncomingChange {
    const version = this.#version(step.age, step.site)
    if (step.kind === 'applied purge') {
      const slot = { kind: 'floor', bucket: step.bucket } as const
      return { mutation: { kind: 'purge', slot, version, context: [] }, body: { kind: 'none' } }
    }
    const slot = slotOf(step.bucket, step.key)
    const context = this.#context(step, version)
    if (step.kind === 'applied delete') {
      return { mutation: { kind: 'delete', slot, version, context }, body: { kind: 'none' } }
    }
    const bytes = contentOf(step.size % 4000)
    const meta = metaOf(bytes, 1)
    return {
      mutation: { kind: 'put', slot, version, context, meta },
      body: { kind: 'inline', bytes },
    }
  }

  async #upload(step: Operation & { readonly kind: 'upload' }): Promise<void> {
    const content = contentOf(step.size)
    const version = this.#version(0, step.site)
    const slot = slotOf(step.bucket, step.key)
    const meta = metaOf(content, 1)
    const mutation = { kind: 'put', slot, version, context: [], meta } as const
    const upload: StagedUpload = await this.#store.engine.stageUpload(mutation)
    const half = Math.floor(step.size / 2)
    await upload.append(content.subarray(0, half))
    await upload.checkpoint()
    if (step.end === 'abort') return await upload.abort()
    if (step.end === 'left') return await upload.close()
    await upload.append(content.subarray(half))
    await this.#store.engine.apply([{ mutation, body: { kind: 'staged', upload } }], undefined)
  }

  async #ship(step: Operation & { readonly kind: 'ship' }): Promise<void> {
    const ledger = await this.#store.engine.ledger(step.remote)
    const [first, ...others] = await ledger.take(step.count)
    await ledger.settle(
      others.map((place) => ({ place, result: 'replicated', remote: 'applied' }) as const),
    )
    if (first === undefined) return
    if (step.refused) await ledger.bury(first, { reason: 'no', attempts: 1 })
    else await ledger.settle([{ place: first, result: 'replicated', remote: 'applied' }])
  }
}

/**
 * All that both must have, without what a rebuilt one begins anew. `seen` and the highest version may
 * stay behind where the record that told of them is gone with its segment. A site that opens a rebuilt
 * index has every upload begun anew.
 */
function comparable(
  contents: SiteContents,
  { freed, opened }: { readonly freed: boolean; readonly opened: boolean },
) {
  const { letters, state } = contents
  const uploads = contents.uploads.map((value) => decodeUpload(value))
  const parts = uploads.flatMap((upload) => upload.parts)
  const begunAnew = new Set(opened ? parts.map(({ id }) => id) : [])
  const ofUploads = [
    ...[...uploads, ...parts].map(({ location }) => location),
    ...[...begunAnew].flatMap((id) => contents.blobs.get(id) ?? []),
  ]
  const left = [...letters.map(({ location }) => location), ...(opened ? ofUploads : [])]
  return {
    live: contents.live,
    tombstones: contents.tombstones,
    buckets: [...contents.buckets].map(([name, { hidden, seen: versions, ...entry }]) => {
      return { name, ...entry, seen: freed ? [] : versions }
    }),
    places: [...contents.places.values()].map(({ since, ...place }) => place),
    blobs: new Map([...contents.blobs].filter(([id]) => !begunAnew.has(id))),
    segments: withoutRecords(contents.segments, left),
    conflicts: contents.conflicts,
    remotes: contents.remotes,
    uploads: opened ? [] : contents.uploads,
    state: { ...state, checkpoint: undefined, version: freed ? undefined : state?.version },
  }
}

function withoutRecords(all: SiteContents['segments'], left: readonly Location[]) {
  const segments = new Map(all)
  for (const { segment, headLength, bodyLength } of left) {
    const count = segments.get(segment)
    if (count === undefined) continue
    const records = count.records - 1
    if (records === 0) segments.delete(segment)
    else segments.set(segment, { ...count, records, bytes: count.bytes - headLength - bodyLength })
  }
  return segments
}

/** What no floor hides, by name. */
function shownIn({ live, buckets }: SiteContents): ReadonlyMap<string, Version> {
  const shown = new Map<string, Version>()
  for (const [name, { version }] of live) {
    const floor = buckets.get(name.slice(0, name.indexOf('/')))?.floor
    if (floor === undefined || version > floor) shown.set(name, version)
  }
  return shown
}

const isSweeping = (index: MemoryIndexDisk): boolean =>
  [...readContents(index.durable).buckets.values()].some(({ sweeping }) => sweeping)

/** Until nothing that a purge hides is left to the site. */
const swept = (index: MemoryIndexDisk): Promise<void> =>
  vi.waitFor(() => expect(isSweeping(index)).toBe(false), { timeout: 20_000, interval: 1 })

/** Closed again, with nothing left to sweep. */
async function storeAfter(steps: readonly Operation[]): Promise<BareStore> {
  const store = new BareStore(new FaultyDisk())
  await store.open()
  const writer = new Writer(store)
  for (const step of steps) await writer.run(step)
  await swept(store.index)
  await store.close()
  return store
}

async function rebuilt(store: BareStore): Promise<{
  index: MemoryIndexDisk
  segments: readonly SegmentInfo[]
  damage: LogDamage
}> {
  const index = new MemoryIndexDisk()
  const volume = await store.openVolume({ salvage: true })
  const opened = await MemoryIndex.open({ disk: index })
  const { clock } = store
  const surroundings = { clock, random: seededRandom(2), logger: silentLogger }
  const { damage } = await rebuildIndex(opened, { volume, ...surroundings })
  await opened.close()
  const segments = volume.segments()
  await volume.close()
  return { index, segments, damage }
}

/** The older write is hidden by a purge that had not seen it, and the upload is not. */
const unseenBesideUpload: Operation[] = [
  ...[
    { kind: 'applied put', bucket: 'films', key: 'k6', size: 2474, age: 395, site: 'yonder' },
    { kind: 'upload', bucket: 'films', key: 'k4', size: 20_008, site: 'yonder', end: 'left' },
    { kind: 'applied purge', bucket: 'films', age: 137, site: 'there' },
  ].map((step) => ({ seen: false, ...step }) as Operation),
]

/** What the first purge had seen, the second one had not: it is swept before that one counts. */
const purgedTwice: Operation[] = [
  { kind: 'upload', bucket: 'films', key: 'k5', size: 53_290, site: 'there', end: 'put' },
  { kind: 'purge', bucket: 'films' },
  { kind: 'put', bucket: 'films', key: 'k1', size: 3372 },
  { kind: 'applied purge', bucket: 'films', age: 2, site: 'yonder', seen: false },
  { kind: 'restart' },
]

describe('An index that is rebuilt from the log alone', () => {
  it('equals the one it replaces, entry by entry, cursors aside', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 120 }), async (steps) => {
        const store = await storeAfter(steps)
        const operations = store.disk.trace.filter((done) => done === 'write').length
        const found = await rebuilt(store)
        expect(store.disk.trace.filter((done) => done === 'write')).toHaveLength(operations)
        const opened = isSweeping(found.index)
        if (opened) {
          // What nobody had seen is swept by the site, since that may have to write it down.
          const next = new BareStore(store.disk.afterKill(), found.index)
          await next.open()
          await swept(next.index)
          await next.close()
        } else recount('here', readContents(found.index.durable), found.segments)
        const [before, after] = [store.index, found.index].map((disk) => readContents(disk.durable))
        if (before === undefined || after === undefined) throw new Error('there are two')
        const freed = store.disk.trace.includes('remove')
        const options = { freed, opened }
        expect(comparable(after, options)).toEqual(comparable(before, options))
        for (const [name, { seen: versions }] of after.buckets) {
          const all = before.buckets.get(name)?.seen ?? []
          for (const version of versions) expect(contextCovers(all, version)).toBe(true)
        }
      }),
      {
        numRuns: Number(process.env.RUNS ?? 30),
        endOnFailure: true,
        examples: [[purgedTwice], [unseenBesideUpload]],
      },
    )
  })
})

describe('An index that is rebuilt from a log in which something has rotted that nothing needs', () => {
  it('equals one that is rebuilt from the sound log', async () => {
    let damaged = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 60, maxLength: 160 }),
        fc.nat(),
        async (steps, choice) => {
          const store = await storeAfter(steps)
          const sound = await rebuilt(store)
          const dead = await deadRecords(store, sound.index)
          const victim = dead[choice % Math.max(1, dead.length)]
          if (victim === undefined) return
          store.disk.tamper(victim.location.segment, (bytes) => {
            const at = victim.location.offset + 24
            bytes[at] = (bytes[at] ?? 0) ^ 1
          })
          const found = await rebuilt(store)
          damaged++
          expect(found.damage).toEqual({ places: 1, harmless: 1, losses: [], unlisted: 0 })
          const [before, after] = [sound, found].map(({ index }) => readContents(index.durable))
          if (before === undefined || after === undefined) throw new Error('there are two')
          // Of a bucket less may have been seen: what is lost was the only one to say so.
          const options = { freed: true, opened: false }
          expect(comparable(after, options)).toEqual(comparable(before, options))
        },
      ),
      { numRuns: Number(process.env.RUNS ?? 30), endOnFailure: true },
    )
    expect(damaged).toBeGreaterThan(0)
  })
})

describe('An index that is rebuilt from a log in which blocks cannot be read', () => {
  it('shows nothing that was replaced or removed, unless it says that it does not know', async () => {
    let told = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 60, maxLength: 160 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
        async (steps, choices) => {
          const store = await storeAfter(steps)
          const sound = await rebuilt(store)
          const log = sound.segments.filter(({ stream }) => stream === 'log')
          for (const choice of choices) {
            const segment = log[choice % log.length]
            if (segment === undefined) return
            store.disk.tamper(segment.segment, (bytes) => {
              const blocks = Math.floor(bytes.length / 4096)
              const block = 1 + (choice % (blocks - 1))
              bytes.fill(0, block * 4096, (block + 1) * 4096)
            })
          }
          const found = await rebuilt(store)
          if (found.damage.losses.some(({ kind }) => kind === undefined)) return
          told++
          const [before, after] = [sound, found].map(({ index }) => readContents(index.durable))
          if (before === undefined || after === undefined) throw new Error('there are two')
          const lost = new Set(found.damage.losses.map(({ bucket, key }) => `${bucket}/${key}`))
          const shown = shownIn(before)
          for (const [name, version] of shownIn(after)) expect(shown.get(name)).toBe(version)
          const missed = [...shown.keys()].filter(
            (name) => !lost.has(name) && !after.live.has(name),
          )
          expect(missed).toEqual([])
        },
      ),
      { numRuns: Number(process.env.RUNS ?? 30), endOnFailure: true },
    )
    expect(told).toBeGreaterThan(0)
  })
})

describe('A purged object that a rebuild finds in the log', () => {
  let store: BareStore
  let writer: Writer
  beforeEach(async () => {
    store = new BareStore(new FaultyDisk())
    await store.open()
    writer = new Writer(store)
    // Keeps the first segment.
    await writer.run({ kind: 'put', bucket: 'photos', key: 'k0', size: 10 })
    await writer.run({ kind: 'put', bucket: 'films', key: 'k1', size: 40_000 })
  })

  const fill = (bytes: number) =>
    writer.run({ kind: 'put', bucket: 'photos', key: 'filler', size: bytes })

  /** Goes on in the next segment of the log. */
  async function roll(): Promise<void> {
    const { generation } = store.volume.logPosition()
    while (store.volume.logPosition().generation === generation) await fill(4000)
  }

  /** What came behind it is in the log's second segment, which goes; what is listed and there in the end. */
  async function rebuiltWithout(second: number): Promise<unknown> {
    await roll()
    await vi.waitFor(() => {
      const generations = store.volume.segments().map(({ generation }) => generation)
      expect([generations[0], generations.includes(second)]).toEqual([1, false])
    }, 20_000)
    await store.close()
    const again = new BareStore(store.disk, (await rebuilt(store)).index)
    await again.open()
    await swept(again.index)
    await again.close()
    const { conflicts, live } = readContents(again.index.durable)
    return [conflicts, [...live.keys()]]
  }

  it('is gone, also when a later purge took the place of the one that had seen it', async () => {
    await roll()
    const { generation } = store.volume.logPosition()
    await writer.run({ kind: 'purge', bucket: 'films' })
    await roll()
    const unseen = { age: 0, site: 'yonder', seen: false } as const
    await writer.run({ kind: 'applied purge', bucket: 'films', ...unseen })
    expect(await rebuiltWithout(generation)).toEqual([[], ['photos/filler', 'photos/k0']])
  })

  it('is gone, also when what had replaced it was purged with it', async () => {
    // Its bytes are in a segment that is full, of which nothing lives.
    await fill(40_000)
    await roll()
    const { generation } = store.volume.logPosition()
    const newer = { size: 10, age: 0, site: 'there', seen: true } as const
    await writer.run({ kind: 'applied put', bucket: 'films', key: 'k1', ...newer })
    const seen = store.engine.headObject({ bucket: 'films', key: 'k1' })?.version
    await roll()
    const slot = { kind: 'floor', bucket: 'films' } as const
    const version = makeVersion(store.clock.now(), 0, 'yonder')
    const mutation = { kind: 'purge', slot, version, context: [seen as Version] } as const
    await store.engine.apply([{ mutation, body: { kind: 'none' } }], undefined)
    expect(await rebuiltWithout(generation)).toEqual([[], ['photos/filler', 'photos/k0']])
  })
})
