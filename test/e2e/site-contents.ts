/** What a site holds, as its S3 listing tells it, and what differs from another's. */
import { expect } from 'vitest'
import type { SiteProcess } from './site-process.ts'

export interface ListedObject {
  readonly key: string
  readonly etag: string
  readonly size: number
  readonly lastModified: string
}

/** Every object of a bucket, page by page. */
export async function listBucket(
  site: SiteProcess,
  bucket: string,
): Promise<readonly ListedObject[]> {
  const objects: ListedObject[] = []
  for (let next: string | undefined = ''; next !== undefined; ) {
    const token = next === '' ? '' : `&continuation-token=${encodeURIComponent(next)}`
    const answer = await site.send('GET', `/${bucket}?list-type=2&encoding-type=url${token}`)
    const xml = answer.body.toString()
    if (answer.status !== 200) throw new Error(`the listing of ${bucket}: ${answer.status} ${xml}`)
    for (const [, entry = ''] of xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
      objects.push({
        key: decodeURIComponent(field(entry, 'Key')),
        etag: field(entry, 'ETag'),
        size: Number(field(entry, 'Size')),
        lastModified: field(entry, 'LastModified'),
      })
    }
    next = /<NextContinuationToken>(.*?)</.exec(xml)?.[1]
  }
  return objects
}

function field(entry: string, tag: string): string {
  const match = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(entry)
  if (match?.[1] === undefined) throw new Error(`a listing without ${tag}: ${entry}`)
  return match[1]
}

/** The headers that describe an object, as against those of one answer. */
const objectHeaders = /^(etag|last-modified|content-(?!encoding$).*|x-amz-meta-.*)$/

/** Both sites list the same, and every `sampleEvery`th object is the same by headers and bytes. */
export async function expectEqualBuckets(
  [a, b]: readonly [SiteProcess, SiteProcess],
  bucket: string,
  sampleEvery: number,
): Promise<readonly ListedObject[]> {
  const [atA, atB] = await Promise.all([listBucket(a, bucket), listBucket(b, bucket)])
  expect(atB).toEqual(atA)
  for (const { key } of atA.filter((_, position) => position % sampleEvery === 0)) {
    const path = `/${bucket}/${encodeURIComponent(key)}`
    const [fromA, fromB] = await Promise.all([a.send('GET', path), b.send('GET', path)])
    expect(fromB.status).toBe(200)
    expect(fromB.body.equals(fromA.body), `the bytes of ${key}`).toBe(true)
    expect(described(fromB.headers)).toEqual(described(fromA.headers))
  }
  return atA
}

function described(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => objectHeaders.test(name)))
}
