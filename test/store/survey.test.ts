import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ByteWriter } from '../../src/base/byte-writer.ts'
import { encodeMeta, type PutMutation } from '../../src/store/model/mutation.ts'
import type { IncomingChange } from '../../src/store/model/object-store.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import type { SurveyRange } from '../../src/store/model/survey.ts'
import { encodeVersion, makeVersion, type Version } from '../../src/store/model/version.ts'
import { TestStore } from './open-store.ts'

const bucket = 'box'
const count = 300
const whole: SurveyRange = { table: 'objects', bucket, after: '', until: '', floor: undefined }

/** As a site that has written them ships them: one in seven is deleted. */
const changes = Array.from({ length: count }, (_, i) => changeOf(i))
const keys = changes
  .filter(({ mutation }) => mutation.kind === 'put')
  .map(({ mutation }) => keyIn(mutation))
  .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

let one: TestStore
let other: TestStore

beforeAll(async () => {
  one = await TestStore.open({ siteId: 'one' })
  other = await TestStore.open({ siteId: 'other' })
  await one.engine.apply(changes, undefined)
  // In another order, in many groups, and after what was overwritten.
  await other.put(bucket, 'first', 'of another place in the feed')
  await other.engine.deleteObject({ bucket, key: 'first' })
  await other.engine.purgeBucket(bucket)
  const floor = other.engine.survey.stateOf({ kind: 'floor', bucket }).version as Version
  const { mutation } = changes[0] as IncomingChange
  expect(mutation.version > floor).toBe(true)
  for (let at = count; at > 0; at -= 50) {
    await other.engine.apply(changes.slice(at - 50, at).reverse(), undefined)
  }
})

afterAll(async () => {
  await one.remove()
  await other.remove()
})

function keyIn(mutation: IncomingChange['mutation']): string {
  return mutation.slot.kind === 'object' ? mutation.slot.key : ''
}

function changeOf(i: number): IncomingChange {
  // Of one, two, three and four bytes in UTF-8, which UTF-16 would order otherwise.
  const key = `${['a', 'ä', '\uffee', '😀'][i % 4]}/${(i * 37) % count}`
  const slot = objectSlot(bucket, key) as PutMutation['slot']
  const version = makeVersion(Date.now() + 200_000, i, 'third')
  if (i % 7 === 0) {
    return { mutation: { kind: 'delete', slot, version, context: [] }, body: { kind: 'none' } }
  }
  const bytes = Buffer.from(`body ${i}`)
  const meta = {
    size: bytes.length,
    etag: createHash('md5').update(bytes).digest('hex'),
    contentHash: {
      algorithm: 'sha256' as const,
      digest: createHash('sha256').update(bytes).digest(),
    },
    lastModified: i,
    headers: i % 2 === 0 ? { 'content-type': 'text/plain' } : {},
    userMetadata: i % 3 === 0 ? { a: String(i), b: 'x' } : {},
  }
  const mutation: PutMutation = { kind: 'put', slot, version, context: [], meta }
  return { mutation, body: { kind: 'inline', bytes } }
}

describe('the survey of a store', () => {
  test('has equal digests for equal content, in whatever order and place it was written', async () => {
    for (const table of ['objects', 'tombstones'] as const) {
      const [ours, theirs] = await Promise.all(
        [one, other].map(({ engine }) => engine.survey.digest({ ...whole, table }, 10_000)),
      )
      expect(ours).toEqual(theirs)
      expect(ours?.count).toBe(table === 'objects' ? keys.length : count - keys.length)
    }
  })

  test('cuts any range into pieces that cover it once, each with its digest', async () => {
    const { survey } = one.engine
    const key = fc.option(fc.constantFrom(...keys), { nil: '' })
    await fc.assert(
      fc.asyncProperty(key, key, fc.integer({ min: 1, max: 90 }), async (from, to, entries) => {
        const [after, until] = to !== '' && byBytes(from, to) > 0 ? [to, from] : [from, to]
        const range = { ...whole, after, until }
        const covered: string[] = []
        for (let at = after; ; ) {
          const pieces = await survey.cut({ ...range, after: at }, { pieces: 3, entries })
          for (const piece of pieces) {
            expect(piece.after).toBe(at)
            const listed = await survey.list(piece, 10_000)
            expect(listed.length).toBe(piece.count)
            expect(piece.count).toBeLessThanOrEqual(entries)
            const again = await other.engine.survey.digest(piece, 10_000)
            expect(again).toEqual({ count: piece.count, digest: piece.digest })
            covered.push(...listed.map((entry) => entry.key))
            at = piece.until
          }
          if (at === until) break
        }
        const isIn = (it: string): boolean =>
          (after === '' || byBytes(it, after) > 0) && (until === '' || byBytes(it, until) <= 0)
        expect(covered).toEqual(keys.filter(isIn))
      }),
      { numRuns: 15 },
    )
  })

  test('counts no further than it was asked to, and says so', async () => {
    expect(await one.engine.survey.digest(whole, 10)).toEqual({ count: 10, digest: undefined })
  })

  test('takes what lies at or below a given floor for absent', async () => {
    const listed = await one.engine.survey.list(whole, 10_000)
    const versions = listed.map(({ version }) => version).sort()
    const floor = versions[100] as Version
    const above = await one.engine.survey.list({ ...whole, floor }, 10_000)
    expect(above.length).toBe(listed.length - 101)
    expect(above.every(({ version }) => version > floor)).toBe(true)
  })

  test('has the digest over framed keys, versions and metadata that every version computes', async () => {
    const of = (i: number, text: string): IncomingChange => {
      const { mutation, body } = changeOf(7 * i + 1)
      const { meta } = mutation as PutMutation
      const slot = objectSlot('sizes', `${i}`.padStart(3, '0')) as PutMutation['slot']
      const context = i % 2 === 0 ? [] : [makeVersion(1, i, 'fourth')]
      const put = { ...(mutation as PutMutation), slot, context }
      return { mutation: { ...put, meta: { ...meta, userMetadata: { text } } }, body }
    }
    // Many, that fill what is gathered to every bound.
    const sizes = Array.from({ length: 200 }, (_, i) => i * 10)
    const puts = sizes.map((size, i) => of(i, 'x'.repeat(size)))
    await one.engine.apply(puts, undefined)
    const hash = createHash('sha256')
    for (const { mutation } of puts as { mutation: PutMutation }[]) {
      const key = Buffer.from(mutation.slot.key)
      const writer = new ByteWriter()
      encodeVersion(writer, mutation.version)
      encodeMeta(writer, mutation.meta)
      const identity = writer.finish()
      const frame = Buffer.alloc(8)
      frame.writeUInt32LE(key.length, 0)
      frame.writeUInt32LE(identity.length, 4)
      hash.update(frame).update(key).update(identity)
    }
    const digest = await one.engine.survey.digest({ ...whole, bucket: 'sizes' }, 10_000)
    expect(digest).toEqual({ count: sizes.length, digest: hash.digest() })
  })

  test('shows any single change in the digest, and in that of its entry alone', async () => {
    const before = await one.engine.survey.list(whole, 10_000)
    const digest = await one.engine.survey.digest(whole, 10_000)
    const key = keys[42] as string
    await one.put(bucket, key, 'changed')
    const after = await one.engine.survey.list(whole, 10_000)
    const changed = after.filter((entry, at) => !before[at]?.digest.equals(entry.digest))
    expect(changed.map((entry) => entry.key)).toEqual([key])
    expect(await one.engine.survey.digest(whole, 10_000)).not.toEqual(digest)
  })
})

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
