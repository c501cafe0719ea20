import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ApplyOutcome, IncomingChange } from '../../src/store/model/object-store.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { TestStore } from './open-store.ts'

const segmentBytes = 256 * 1024

let store: TestStore
beforeEach(async () => {
  const capacityBytes = 24 * segmentBytes
  const conflictPolicy = 'keep-both'
  store = await TestStore.open({ siteId: 'here', conflictPolicy, segmentBytes, capacityBytes })
})
afterEach(() => store.remove())

const versionAt = (agoMs: number, site: string) => makeVersion(Date.now() - agoMs, 0, site)

async function apply(change: IncomingChange): Promise<ApplyOutcome> {
  const [outcome] = await store.engine.apply([change], undefined)
  if (outcome === undefined) throw new Error('a change has an outcome')
  return outcome
}

interface Name {
  readonly bucket: string
  readonly key: string
  readonly site: string
}

function put({ bucket, key, site }: Name, bytes: Buffer): Promise<ApplyOutcome> {
  const meta = {
    size: bytes.length,
    etag: hash('md5', bytes, 'hex'),
    contentHash: { algorithm: 'sha256' as const, digest: hash('sha256', bytes, 'buffer') },
    lastModified: 0,
    headers: {},
    userMetadata: {},
  }
  const version = versionAt(3000, site)
  const slot = { kind: 'object', bucket, key, versionId: 'null' } as const
  const mutation = { kind: 'put', slot, version, context: [], meta } as const
  return apply({ mutation, body: { kind: 'inline', bytes } })
}

/** By a site that has seen its own writes, and no others. */
function purge(bucket: string): Promise<ApplyOutcome> {
  const slot = { kind: 'floor', bucket } as const
  const mutation = { kind: 'purge', slot, version: versionAt(1000, 'yonder'), context: [] } as const
  return apply({ mutation, body: { kind: 'none' } })
}

/** Tries at once what is tried every few seconds; resolves when that has ended, or has met the full volume. */
async function swept(): Promise<void> {
  await expect(store.engine.deleteBucket('docs')).rejects.toThrow()
}

const contentOf = (at: number, size: number): Buffer => Buffer.alloc(size, `content ${at}, `)
const waits = (): boolean =>
  store.engine.health().reasons.some((reason) => /^a purge waits/.test(reason))

/** Keys of `docs`, each beside one that may go, until there is no room. */
async function fill(size: number, beside: (at: number) => Name): Promise<readonly string[]> {
  const keys: string[] = []
  for (let at = 0; ; at++) {
    const key = `key-${at}`
    const content = contentOf(at, size)
    if ((await put({ bucket: 'docs', key, site: 'there' }, content)).result !== 'applied')
      return keys
    keys.push(key)
    if ((await put(beside(at), content)).result !== 'applied') return keys
  }
}

/** Tries again what is tried every few seconds, until nothing waits. */
async function nothingWaits(): Promise<void> {
  await vi.waitFor(async () => {
    await swept()
    expect(waits()).toBe(false)
  }, 60_000)
}

async function expectKept(keys: readonly string[], size: number): Promise<void> {
  const listed = store.engine.conflicts.conflicts(1000)
  expect(listed.map(({ key }) => key).sort()).toEqual([...keys].sort())
  for (const { key, keptAs } of listed) {
    const kept = await store.get('docs', keptAs ?? '')
    expect(kept?.equals(contentOf(Number(key.slice(4)), size))).toBe(true)
  }
}

describe.each([
  ['small', 10_000],
  ['large', 100_000],
])('of %s objects on a full volume, what a purge had not seen', (_, size) => {
  it('waits, is said to wait, and is kept as soon as something else gives room back', async () => {
    const keys = await fill(size, (at) => ({ bucket: 'other', key: `key-${at}`, site: 'yonder' }))
    // The purge is taken at once, as on any full volume.
    expect(await purge('docs')).toEqual({ result: 'conflict', won: true })
    await swept()
    expect(waits()).toBe(true)
    expect(store.engine.conflicts.conflictTotals().open).toBeLessThan(keys.length)
    await store.reopen()
    await swept()
    expect(waits()).toBe(true)
    await purge('other')
    await nothingWaits()
    // What was kept may have taken the room that was left, until the cleaner is through with the rest.
    await vi.waitFor(() => expect(store.engine.health().reasons).toEqual([]), 60_000)
    await expectKept(keys, size)
  })

  it('is kept in the room of what it had seen', async () => {
    const keys = await fill(size, (at) => ({ bucket: 'docs', key: `seen-${at}`, site: 'yonder' }))
    await purge('docs')
    await nothingWaits()
    await expectKept(keys, size)
  })

  it('gives its room back, and is only listed, where somebody decides that losers are not kept', async () => {
    const keys = await fill(size, (at) => ({
      bucket: 'docs',
      key: `key-${at + 1000}`,
      site: 'there',
    }))
    await purge('docs')
    await swept()
    expect(waits()).toBe(true)
    await store.engine.conflicts.setConflictPolicy('docs', 'last-write-wins')
    // Some may have been kept until then: what waits is tried again every few seconds.
    const { kept } = store.engine.conflicts.conflictTotals()
    expect(kept).toBeLessThan(keys.length)
    await nothingWaits()
    expect(store.engine.conflicts.conflictTotals()).toMatchObject({ kept })
    const listed = store.engine.conflicts.conflicts(1000).map(({ key }) => key)
    expect(listed).toEqual(expect.arrayContaining([...keys]))
    await vi.waitFor(() => expect(store.engine.health().reasons).toEqual([]), 60_000)
  })
})
