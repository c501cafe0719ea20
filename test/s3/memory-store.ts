import { createHash } from 'node:crypto'
import {
  BadDigestError,
  BucketNotEmptyError,
  IncompleteBodyError,
  NoSuchBucketError,
  PreconditionFailedError,
} from '../../src/store/errors.ts'
import type {
  ListInput,
  ListPage,
  ObjectInfo,
  ObjectStore,
  OpenObject,
  PutInput,
} from '../../src/store/object-store.ts'
import { makeVersion } from '../../src/store/version.ts'

interface Entry {
  readonly info: ObjectInfo
  readonly bytes: Buffer
}

export function memoryStore(): ObjectStore {
  const buckets = new Map<string, Map<string, Entry>>()
  let seq = 0
  const open = ({ info, bytes }: Entry): OpenObject => ({
    info,
    async *read(range = { start: 0, end: bytes.length }) {
      for (let at = range.start; at < range.end; at += 2 ** 20) {
        yield bytes.subarray(at, Math.min(range.end, at + 2 ** 20))
      }
    },
    readWhole: async () => bytes,
    close: () => undefined,
  })
  const need = (bucket: string): Map<string, Entry> => {
    const found = buckets.get(bucket)
    if (found === undefined) throw new NoSuchBucketError(bucket)
    return found
  }
  const check = (input: Pick<PutInput, 'bucket' | 'key' | 'conditions'>): void => {
    const etag = buckets.get(input.bucket)?.get(input.key)?.info.meta.etag
    const { ifMatch, ifNoneMatch } = input.conditions ?? {}
    const has = (tag: string): boolean => etag !== undefined && (tag === '*' || tag === etag)
    if (ifMatch?.some(has) === false || ifNoneMatch?.some(has))
      throw new PreconditionFailedError(input)
  }
  return {
    async putObject(input) {
      const pieces: Uint8Array[] = []
      if (input.body instanceof Uint8Array) pieces.push(input.body)
      else for await (const piece of input.body) pieces.push(piece)
      const bytes = pieces.length === 1 ? Buffer.from(pieces[0] as Buffer) : Buffer.concat(pieces)
      if (bytes.length !== input.contentLength) {
        throw new IncompleteBodyError({ expected: input.contentLength, received: bytes.length })
      }
      const md5 = createHash('md5').update(bytes).digest()
      if (input.expectedMd5?.equals(md5) === false) throw new BadDigestError(input)
      check(input)
      if (input.createBucket && !buckets.has(input.bucket)) buckets.set(input.bucket, new Map())
      const info: ObjectInfo = {
        bucket: input.bucket,
        key: input.key,
        seq: ++seq,
        version: makeVersion(Date.now(), 0, 'test'),
        meta: {
          size: bytes.length,
          etag: md5.toString('hex'),
          contentHash: { algorithm: 'sha256', digest: Buffer.alloc(32) },
          lastModified: Date.now(),
          headers: input.headers,
          userMetadata: input.userMetadata,
        },
      }
      need(input.bucket).set(input.key, { info, bytes })
      return info
    },
    async deleteObject(input) {
      check(input)
      return buckets.get(input.bucket)?.delete(input.key) ?? false
    },
    headObject: ({ bucket, key }) => buckets.get(bucket)?.get(key)?.info,
    openObject({ bucket, key }) {
      const entry = buckets.get(bucket)?.get(key)
      return entry === undefined ? undefined : open(entry)
    },
    listObjects: async (input) => listPage(need(input.bucket), input),
    bucketExists: async (bucket) => buckets.has(bucket),
    async createBucket(bucket) {
      if (buckets.has(bucket)) return false
      buckets.set(bucket, new Map())
      return true
    },
    async deleteBucket(bucket) {
      if (need(bucket).size > 0) throw new BucketNotEmptyError(bucket)
      buckets.delete(bucket)
    },
    listBuckets: async () => [...buckets.keys()].sort().map((name) => ({ name, createdAt: 0 })),
    previewPurge: async (bucket) => ({ count: need(bucket).size, bytes: 0 }),
    purgeBucket: async (bucket) => ({ count: need(bucket).size, bytes: 0 }),
  }
}

function listPage(entries: Map<string, Entry>, input: ListInput): ListPage {
  const objects: ObjectInfo[] = []
  const prefixes: string[] = []
  const keys = [...entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  let last = ''
  for (const key of keys) {
    if (!key.startsWith(input.prefix)) continue
    const at = input.delimiter === '' ? -1 : key.indexOf(input.delimiter, input.prefix.length)
    const name = at === -1 ? key : key.slice(0, at + input.delimiter.length)
    if (Buffer.compare(Buffer.from(name), Buffer.from(input.after)) <= 0 || prefixes.includes(name))
      continue
    if (objects.length + prefixes.length === input.limit) {
      return { objects, commonPrefixes: prefixes, next: last }
    }
    last = name
    if (at === -1) objects.push((entries.get(key) as Entry).info)
    else prefixes.push(name)
  }
  return { objects, commonPrefixes: prefixes, next: undefined }
}
