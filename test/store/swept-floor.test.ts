import { hash } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { NoSuchBucketError } from '../../src/store/model/errors.ts'
import type { IncomingChange } from '../../src/store/model/object-store.ts'
import { type Context, makeVersion, type Version } from '../../src/store/model/version.ts'
import { recordKinds } from '../../src/store/tables/records.ts'
import { TestStore } from './open-store.ts'
import { spoilAt } from './spoil.ts'

const segmentBytes = 256 * 1024

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open({ siteId: 'here', conflictPolicy: 'keep-both', segmentBytes })
})
afterEach(async () => {
  await store.remove()
})

const versionAt = (agoMs: number, site: string): Version => makeVersion(Date.now() - agoMs, 0, site)

function put(key: string, version: Version, context: Context): IncomingChange {
  const bytes = Buffer.from(`written as ${version}`)
  const meta = {
    size: bytes.length,
    etag: hash('md5', bytes, 'hex'),
    contentHash: { algorithm: 'sha256' as const, digest: hash('sha256', bytes, 'buffer') },
    lastModified: 0,
    headers: {},
    userMetadata: {},
  }
  const slot = { kind: 'object', bucket: 'docs', key, versionId: 'null' } as const
  return {
    mutation: { kind: 'put', slot, version, context, meta },
    body: { kind: 'inline', bytes },
  }
}

function purge(version: Version): IncomingChange {
  const slot = { kind: 'floor', bucket: 'docs' } as const
  return { mutation: { kind: 'purge', slot, version, context: [] }, body: { kind: 'none' } }
}

async function apply(change: IncomingChange): Promise<void> {
  const [outcome] = await store.engine.apply([change], undefined)
  expect(outcome?.result).toMatch(/^(applied|conflict)$/)
}

/** The log segment that is written to now. */
const logGeneration = (): number =>
  Math.max(
    ...store.volume
      .segments()
      .filter(({ stream }) => stream === 'log')
      .map(({ generation }) => generation),
  )

const isThere = (generation: number): boolean =>
  store.volume.segments().some((segment) => segment.generation === generation)

/** What comes next lies in another segment; nothing of what fills this one lives for long. */
async function fillSegment(): Promise<void> {
  const { inlineBytesMax } = store.volume.limits
  for (const before = logGeneration(); logGeneration() === before; )
    await store.put('other', 'filler', Buffer.alloc(inlineBytesMax))
}

/** The first write stays in the log, dead; of the second nothing is left there once it was purged. */
async function overwriteAndPurge(): Promise<{ readonly purgeIn: number }> {
  const first = versionAt(3000, 'there')
  await apply(put('a', first, []))
  const firstIn = logGeneration()
  await store.put('other', 'beside', 'keeps the segment')
  await fillSegment()
  await apply(put('a', versionAt(2000, 'yonder'), [first]))
  const secondIn = logGeneration()
  await fillSegment()
  await apply(purge(versionAt(1000, 'yonder')))
  await swept()
  const purgeIn = logGeneration()
  await fillSegment()
  await vi.waitFor(() => expect(isThere(secondIn)).toBe(false), 20_000)
  expect(isThere(firstIn)).toBe(true)
  return { purgeIn }
}

/** Waits for the sweep, behind which nothing is left of the bucket. */
async function swept(): Promise<void> {
  await expect(store.engine.deleteBucket('docs')).rejects.toBeInstanceOf(NoSuchBucketError)
}

describe('an object that was overwritten and then purged', () => {
  it('does not come back as a conflict when the index is lost', async () => {
    await overwriteAndPurge()
    expect(store.engine.conflicts.conflicts(10)).toEqual([])
    await store.loseIndex()
    await swept()
    expect(store.engine.conflicts.conflicts(10)).toEqual([])
  })

  it('does not come back when another purge has come behind that one either', async () => {
    const { purgeIn } = await overwriteAndPurge()
    await store.put('docs', 'b', 'new')
    await apply(purge(versionAt(-1000, 'beyond')))
    // This one was not seen by the second purge, and is kept.
    await vi.waitFor(() => expect(store.engine.conflicts.conflicts(10)).toHaveLength(1), 20_000)
    await fillSegment()
    await vi.waitFor(() => expect(isThere(purgeIn)).toBe(false), 20_000)
    await store.loseIndex()
    await expect(store.engine.deleteBucket('docs')).rejects.toThrow('still holds objects')
    expect(store.engine.conflicts.conflicts(10)).toMatchObject([{ key: 'b' }])
  })
})

describe('a purge of which the log says that it was swept', () => {
  it('holds also when those bytes are damaged and the index is lost', async () => {
    await overwriteAndPurge()
    const floor = { kind: 'floor', bucket: 'docs' } as const
    const before = store.engine.survey.stateOf(floor).version
    const segments = store.volume.segments().filter(({ stream }) => stream === 'log')
    const records = await Promise.all(segments.map((use) => store.volume.recordsOf(use)))
    const note = records.flat().findLast(({ kind }) => kind === recordKinds.purge)
    if (note === undefined) throw new Error('no finished segment has the purge')
    expect(note.location.bodyLength).toBeGreaterThan(0)
    await spoilAt(join(store.folder, 'volume'), note.location, note.location.headLength)
    await store.loseIndex()
    expect(store.engine.survey.stateOf(floor).version).toBe(before)
    // What is not known to have been seen is kept.
    await expect(store.engine.deleteBucket('docs')).rejects.toThrow('still holds objects')
  })
})

describe('an object that a purge had not seen', () => {
  it('is listed and kept when the index is lost before the purge was swept', async () => {
    await apply(put('a', versionAt(3000, 'there'), []))
    await apply(purge(versionAt(1000, 'yonder')))
    await store.loseIndex()
    await expect(store.engine.deleteBucket('docs')).rejects.toThrow('still holds objects')
    expect(store.engine.conflicts.conflicts(10)).toMatchObject([{ key: 'a' }])
  })
})
