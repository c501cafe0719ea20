/** What a site does with changes that no honest site would send: refuses them, and stays whole. */
import { hash } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Mutation, PutMutation } from '../../src/store/model/mutation.ts'
import type { ApplyOutcome, IncomingChange } from '../../src/store/model/object-store.ts'
import { contextSitesMax, makeVersion, type Version } from '../../src/store/model/version.ts'
import { mutation as anyMutation } from './arbitraries.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open()
})
afterEach(() => store.remove())

const now = Date.now()
const at = (ms: number, site = 'there'): Version => makeVersion(now + ms, 0, site)
const bytes = Buffer.from('body')
const sane: PutMutation = {
  kind: 'put',
  slot: { kind: 'object', bucket: 'photos', key: 'a', versionId: 'null' },
  version: at(0),
  context: [],
  meta: {
    size: bytes.length,
    etag: hash('md5', bytes, 'hex'),
    contentHash: { algorithm: 'sha256', digest: hash('sha256', bytes, 'buffer') },
    lastModified: now,
    headers: {},
    userMetadata: {},
  },
}

const inline = (mutation: Mutation): IncomingChange => ({
  mutation,
  body: mutation.kind === 'put' ? { kind: 'inline', bytes } : { kind: 'none' },
})

async function apply(...mutations: readonly Mutation[]): Promise<readonly ApplyOutcome[]> {
  return store.engine.apply(mutations.map(inline), undefined)
}

const sitesOf = (count: number, ms: number): readonly Version[] =>
  Array.from({ length: count }, (_, i) => at(ms, `s${String(i).padStart(5, '0')}`))

const slotWith = (changes: Partial<PutMutation['slot']>) => ({
  ...sane,
  slot: { ...sane.slot, ...changes },
})
const metaWith = (changes: Partial<PutMutation['meta']>) => ({
  ...sane,
  meta: { ...sane.meta, ...changes },
})

const hostile: readonly (readonly [string, Mutation])[] = [
  ['a bucket that leads elsewhere', slotWith({ bucket: '../etc' })],
  ['a bucket in the place of the control plane', slotWith({ bucket: 'admin' })],
  ['a bucket of control characters', slotWith({ bucket: 'a\r\nb' })],
  ['no key', slotWith({ key: '' })],
  ['a key beyond all bounds', slotWith({ key: 'k'.repeat(1025) })],
  ['a version id', slotWith({ versionId: 'v1' })],
  ['a size beyond all bounds', metaWith({ size: Number.MAX_SAFE_INTEGER })],
  ['another size than its body', metaWith({ size: 5 })],
  [
    'the hash of other bytes',
    metaWith({ contentHash: { algorithm: 'sha256', digest: Buffer.alloc(32) } }),
  ],
  ['an ETag that ends the header', metaWith({ etag: 'x"\r\nSet-Cookie: a=b' })],
  ['a date that is none', metaWith({ lastModified: Number.MAX_SAFE_INTEGER })],
  ['a date that no header can say', metaWith({ lastModified: 253_402_300_800_000 })],
  ['a header name with a line break', metaWith({ headers: { 'a\r\nb': 'x' } })],
  ['a header name in capitals', metaWith({ headers: { 'Content-Type': 'x' } })],
  ['a header value with a line break', metaWith({ headers: { 'content-type': 'a\r\nx: y' } })],
  ['metadata with a NUL', metaWith({ userMetadata: { a: '\0' } })],
  ['metadata beyond all bounds', metaWith({ userMetadata: { a: 'x'.repeat(8193) } })],
  ['a context that names its author', { ...sane, context: [at(-5)] }],
  ['a context from after it', { ...sane, context: [at(1, 'elsewhere')] }],
  ['a context out of order', { ...sane, context: [at(-1, 'y'), at(-1, 'x')] }],
  ['a context of hundreds of sites', { ...sane, context: sitesOf(contextSitesMax + 1, -1) }],
  [
    'a bucket register that is newer than its label',
    {
      kind: 'bucket',
      slot: { kind: 'bucket', bucket: 'photos' },
      version: at(0),
      created: at(0),
      deleted: at(9_000_000),
    },
  ],
]

describe('a hostile change', () => {
  test.each(hostile)('with %s is refused and changes nothing', async (_what, mutation) => {
    expect(await apply(mutation)).toMatchObject([{ result: 'refused' }])
    expect(store.engine.feed.head()).toBe(0)
    expect(await store.engine.listBuckets()).toEqual([])
  })

  test('from far ahead waits, whatever it is about, and moves no clock', async () => {
    const version = makeVersion(2 ** 48 - 1, 0xffff, 'there')
    const outcomes = await apply(
      { ...sane, version },
      { kind: 'delete', slot: sane.slot, version, context: [] },
      { kind: 'purge', slot: { kind: 'floor', bucket: 'photos' }, version, context: [] },
      {
        kind: 'bucket',
        slot: { kind: 'bucket', bucket: 'photos' },
        version,
        created: version,
        deleted: undefined,
      },
    )
    expect(outcomes).toMatchObject(Array.from({ length: 4 }, () => ({ result: 'later' })))
    const local = await store.put('photos', 'a', 'local')
    expect(local.version < at(60_000)).toBe(true)
  })

  test('in the name of ever more sites leaves a store that opens again', async () => {
    const authors = Array.from({ length: 1500 }, (_, i) => `s${String(i).padStart(5, '0')}`)
    const outcomes = await apply(
      ...authors.map((site, i) => ({
        ...sane,
        slot: { ...sane.slot, key: `key-${i}` },
        version: at(i, site),
      })),
    )
    expect(outcomes[0]).toEqual({ result: 'applied' })
    expect(outcomes.at(-1)).toMatchObject({ result: 'refused', code: 'TOO_MANY_SITES' })
    await store.reopen()
    expect(await store.keys('photos')).toHaveLength(contextSitesMax)
    // The count of this run is gone, that of the bucket is not.
    const [late] = await apply({ ...sane, version: at(5000, 'yet-another') })
    expect(late).toMatchObject({ result: 'refused', code: 'TOO_MANY_SITES' })
    expect(await apply({ ...sane, version: at(5000, 's00003') })).toEqual([{ result: 'applied' }])
  })

  test('that would make contexts grow without end is refused, and the rest goes on', async () => {
    for (const round of [0, 1, 2]) {
      const names = Array.from({ length: 200 }, (_, i) => `r${round}-${String(i).padStart(5, '0')}`)
      const context = names.map((site) => at(-1000 - round, site))
      await apply({ ...sane, version: at(round, `w${round}`), context })
    }
    await store.put('photos', 'a', 'local')
    await store.reopen()
    await store.loseIndex()
    expect((await store.get('photos', 'a'))?.toString()).toBe('local')
  })

  test('of any form is refused, put off or taken, and the store opens again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyMutation, { maxLength: 20 }), async (mutations) => {
        for (const outcome of await apply(...mutations)) expect(outcome.result).toBeTypeOf('string')
      }),
      { numRuns: 30 },
    )
    await store.reopen()
    for (const { name } of await store.engine.listBuckets()) await store.keys(name)
  })
})
