/** What names, metadata and sizes the store takes, from clients and from other sites alike. */
import { registerVersion } from './bucket-register.ts'
import { InvalidNameError, MetadataTooLargeError, ObjectTooLargeError } from './errors.ts'
import type { BucketMutation, Mutation, ObjectMeta } from './mutation.ts'
import { nullVersionId } from './slot.ts'
import { contextSitesMax, siteOf } from './version.ts'

export const keyBytesMax = 1024
/** Content headers and user metadata together; S3 allows 2 KiB of the latter. */
const metadataBytesMax = 8 * 1024
/** 5 TiB, as S3: the most that a change may announce. What a volume takes may be less. */
const objectBytesMax = 5 * 2 ** 40
/** The end of the year 9999: later times have no HTTP date, and at last no date at all. */
const lastModifiedMax = 253_402_300_799_999

/** A token of RFC 9110, lower case. */
const headerName = /^[a-z0-9!#$%&'*+.^_`|~-]+$/
const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

/** @throws InvalidNameError */
export function checkBucketName(bucket: string): void {
  const legal = bucketPattern.test(bucket) && !bucket.includes('..') && bucket !== 'admin'
  if (legal) return
  throw new InvalidNameError(`${JSON.stringify(bucket.slice(0, 80))} is no legal bucket name`, {
    facts: { bucket: bucket.slice(0, 80) },
    hint: 'Use 3 to 63 lower-case letters, digits, hyphens and dots; "admin" is taken.',
  })
}

/** @throws InvalidNameError */
export function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key)
  if (bytes > 0 && bytes <= keyBytesMax && key.isWellFormed()) return
  throw new InvalidNameError(
    `a key has 1 to ${keyBytesMax} bytes of UTF-8, this one has ${bytes}`,
    {
      facts: { bytes },
    },
  )
}

/** @throws MetadataTooLargeError, ObjectTooLargeError */
export function checkMeta(meta: Pick<ObjectMeta, 'size' | 'headers' | 'userMetadata'>): void {
  let bytes = 0
  for (const texts of [meta.headers, meta.userMetadata]) {
    for (const name of Object.keys(texts)) {
      bytes += Buffer.byteLength(name) + Buffer.byteLength(texts[name] ?? '')
    }
  }
  if (bytes > metadataBytesMax) throw new MetadataTooLargeError({ bytes, limit: metadataBytesMax })
  if (meta.size > objectBytesMax) {
    throw new ObjectTooLargeError({ bytes: meta.size, limit: objectBytesMax })
  }
}

/** Everything that must hold of a change from another site before it is believed. */
export function checkMutation(mutation: Mutation): void {
  checkBucketName(mutation.slot.bucket)
  if (mutation.kind === 'bucket') checkRegister(mutation)
  else checkContext(mutation)
  if (mutation.slot.kind !== 'object') return
  checkKey(mutation.slot.key)
  if (mutation.slot.versionId !== nullVersionId) {
    throw new InvalidNameError('this site keeps no versions of objects yet')
  }
  if (mutation.kind !== 'put') return
  checkMeta(mutation.meta)
  checkTexts(mutation.meta)
  if (!/^[0-9a-f]{32}(-\d{1,5})?$/.test(mutation.meta.etag)) {
    throw new InvalidNameError('an ETag is 32 hex digits, with the number of parts behind it')
  }
  if (mutation.meta.lastModified > lastModifiedMax) {
    throw new InvalidNameError('an object was modified after the year 9999')
  }
}

/** A label that is older than what it labels would get past the clock's limit. */
function checkRegister(mutation: BucketMutation): void {
  if (registerVersion(mutation) === mutation.version) return
  throw new InvalidNameError("a bucket's change is labelled with another version than it carries")
}

/** A write is newer than everything its author had seen. */
function checkContext({ version, context }: Exclude<Mutation, BucketMutation>): void {
  if (context.length > contextSitesMax) {
    throw new InvalidNameError(
      `a change names ${context.length} sites, not even ${contextSitesMax} may be`,
    )
  }
  const sites = context.map(siteOf)
  const ascending = sites.every((site, at) => at === 0 || (sites[at - 1] as string) < site)
  if (ascending && !sites.includes(siteOf(version)) && context.every((seen) => seen < version))
    return
  throw new InvalidNameError('a change names a context that its version cannot have')
}

/** What could not be sent in the header of an answer must not be stored as one. */
function checkTexts({ headers, userMetadata }: ObjectMeta): void {
  for (const texts of [headers, userMetadata]) {
    for (const [name, value] of Object.entries(texts)) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      if (headerName.test(name) && !/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) continue
      throw new InvalidNameError(
        `the header ${JSON.stringify(name.slice(0, 80))} is not a legal one`,
      )
    }
  }
}
