/**
 * ListObjects over the index: one level at a time by seeking past each common prefix.
 *
 * It promises the order of the keys' bytes, and no page that costs more than it holds, but for what a purge
 * hides. It must never read the log, nor see what is pending.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { ListInput, ListPage, ObjectInfo } from '../model/object-store.ts'
import type { Version } from '../model/version.ts'
import { keyBytesOf, objectKey, objectsRange, successorOf } from '../tables/keys.ts'
import { decodeLiveEntry } from '../tables/slot-entry.ts'

const readAhead = 256

/** Walks the bucket's objects above `floor`; the caller has checked that the bucket exists. */
export async function listObjects(
  index: OrderedIndex,
  input: ListInput,
  floor: Version | undefined,
): Promise<ListPage> {
  const { bucket, limit } = input
  const prefix = Buffer.from(input.prefix)
  const delimiter = Buffer.from(input.delimiter)
  const bucketLength = Buffer.byteLength(bucket)
  const objects: ObjectInfo[] = []
  const commonPrefixes: string[] = []
  if (limit === 0) return { objects, commonPrefixes, next: undefined }
  const cursor = index.iterate(objectsRange(bucket, prefix))
  try {
    const start = startOf(input, prefix, delimiter)
    if (start === 'nothing') return { objects, commonPrefixes, next: undefined }
    if (start !== undefined) cursor.seek(Buffer.concat([objectKey(bucket, ''), start]))
    let last = ''
    let entries = await cursor.next(Math.min(readAhead, limit + 1))
    for (let at = 0; ; at++) {
      if (at === entries.length) {
        entries = await cursor.next(readAhead)
        at = 0
      }
      const found = entries[at]
      if (found === undefined) return { objects, commonPrefixes, next: undefined }
      const entry = decodeLiveEntry(found[1])
      if (floor !== undefined && entry.version <= floor) continue
      if (objects.length + commonPrefixes.length === limit)
        return { objects, commonPrefixes, next: last }
      const keyBytes = keyBytesOf(found[0], bucketLength)
      const common = commonPrefixOf(keyBytes, prefix.length, delimiter)
      if (common === undefined) {
        last = keyBytes.toString()
        objects.push({
          bucket,
          key: last,
          seq: entry.seq,
          version: entry.version,
          meta: entry.meta,
        })
        continue
      }
      last = common.toString()
      commonPrefixes.push(last)
      const beyond = successorOf(common)
      if (beyond === undefined) return { objects, commonPrefixes, next: undefined }
      // What was read ahead may still lie under the prefix that was just listed.
      const next = Buffer.concat([objectKey(bucket, ''), beyond])
      while (
        at + 1 < entries.length &&
        Buffer.compare((entries[at + 1] as readonly [Buffer, Buffer])[0], next) < 0
      )
        at++
      if (at + 1 === entries.length) {
        cursor.seek(next)
        entries = await cursor.next(readAhead)
        at = -1
      }
    }
  } finally {
    await cursor.close()
  }
}

/** Where to begin, as key bytes; undefined at the start of the range. */
function startOf(
  input: ListInput,
  prefix: Buffer,
  delimiter: Buffer,
): Buffer | undefined | 'nothing' {
  if (input.after === '') return undefined
  const after = Buffer.from(input.after)
  if (Buffer.compare(after, prefix) < 0) return undefined
  if (!after.subarray(0, prefix.length).equals(prefix)) return 'nothing'
  // A page that ended with a common prefix goes on behind everything that the prefix stands for.
  const common = commonPrefixOf(after, prefix.length, delimiter)
  if (common !== undefined && common.length === after.length) return successorOf(after) ?? 'nothing'
  return Buffer.concat([after, Buffer.of(0)])
}

/** The key up to and including the first delimiter behind the prefix. */
function commonPrefixOf(key: Buffer, prefixLength: number, delimiter: Buffer): Buffer | undefined {
  if (delimiter.length === 0) return undefined
  const at = key.indexOf(delimiter, prefixLength)
  return at === -1 ? undefined : key.subarray(0, at + delimiter.length)
}
