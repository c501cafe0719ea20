/** Generators shared by the store's property tests. */
import fc from 'fast-check'
import type { ContentHash, Mutation, ObjectMeta } from '../../src/store/model/mutation.ts'
import type { Slot } from '../../src/store/model/slot.ts'
import { type Context, joinContext, makeVersion } from '../../src/store/model/version.ts'
import type { Location } from '../../src/volume/volume.ts'

const site = fc.constantFrom('a', 'site-b', 'c9')

export const version = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.integer({ min: 0, max: 0xffff }), site)
  .map(([time, counter, name]) => makeVersion(time, counter, name))

export const context: fc.Arbitrary<Context> = fc
  .array(version, { maxLength: 4 })
  .map((versions) => joinContext([], versions))

const bucket = fc.stringMatching(/^[a-z0-9]{3,12}$/)
const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 })

const objectSlot = fc.record({
  kind: fc.constant('object' as const),
  bucket,
  key,
  versionId: fc.constantFrom('null', 'v1'),
})

export const slot: fc.Arbitrary<Slot> = fc.oneof(
  objectSlot,
  fc.record({ kind: fc.constant('bucket' as const), bucket }),
  fc.record({ kind: fc.constant('floor' as const), bucket }),
)

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))

const contentHash: fc.Arbitrary<ContentHash> = fc.oneof(
  fc.record({ algorithm: fc.constant('sha256' as const), digest }),
  fc.record({
    algorithm: fc.constant('sha256-parts' as const),
    digest,
    parts: fc.array(fc.record({ size: fc.maxSafeNat(), digest }), { maxLength: 3 }),
  }),
)

const texts = fc.dictionary(fc.stringMatching(/^[a-z-]{1,12}$/), fc.string({ unit: 'grapheme' }), {
  maxKeys: 4,
})

export const meta: fc.Arbitrary<ObjectMeta> = fc.record({
  size: fc.maxSafeNat(),
  etag: fc.stringMatching(/^[0-9a-f]{32}$/),
  contentHash,
  lastModified: fc.integer({ min: 0, max: 2 ** 48 }),
  headers: texts,
  userMetadata: texts,
})

export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), slot: objectSlot, version, context, meta }),
  fc.record({ kind: fc.constant('delete' as const), slot: objectSlot, version, context }),
  fc.record({
    kind: fc.constant('purge' as const),
    slot: fc.record({ kind: fc.constant('floor' as const), bucket }),
    version,
    context,
  }),
  fc.record({
    kind: fc.constant('bucket' as const),
    slot: fc.record({ kind: fc.constant('bucket' as const), bucket }),
    version,
    created: fc.option(version, { nil: undefined }),
    deleted: fc.option(version, { nil: undefined }),
  }),
)

export const location: fc.Arbitrary<Location> = fc.record({
  segment: fc.nat(),
  generation: fc.nat(),
  offset: fc.nat(),
  headLength: fc.nat({ max: 70_000 }),
  bodyLength: fc.nat(),
})

export const blobId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))

/** Equal but for prototypes: decoded text maps have none, so that no key can reach one. */
export function plain<T>(value: T): unknown {
  return JSON.parse(JSON.stringify(value, (_, inner) => inner ?? null))
}
