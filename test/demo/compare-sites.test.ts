import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Comparison, compareSites } from '../../src/demo/compare-sites.ts'
import type { WrittenObject } from '../../src/demo/writer.ts'
import { S3Client } from '../../src/s3/client.ts'
import { TinyS3Server } from '../bench/tiny-s3-server.ts'

let siteA: TinyS3Server
let siteB: TinyS3Server
let a: S3Client
let b: S3Client
let written: WrittenObject[]

beforeEach(async () => {
  siteA = await TinyS3Server.start()
  siteB = await TinyS3Server.start()
  a = new S3Client({ url: siteA.url })
  b = new S3Client({ url: siteB.url })
  written = []
  for (const key of ['one', 'two/ü', 'three']) await write(key, Buffer.from(`bytes of ${key}`))
})

afterEach(async () => {
  await Promise.all([a.close(), b.close()])
  await Promise.all([siteA.stop(), siteB.stop()])
})

async function write(key: string, body: Buffer): Promise<void> {
  const put = { bucket: 'b', key, body, contentLength: body.length }
  const headers = { 'content-type': 'text/plain', 'x-amz-meta-note': 'n' }
  await a.putObject({ ...put, headers })
  await b.putObject({ ...put, headers })
  const sha256 = createHash('sha256').update(body).digest('hex')
  written.push({ bucket: 'b', key, size: body.length, sha256 })
}

function compare(): Promise<Comparison> {
  return compareSites({
    ...{ a, b, written, concurrency: 2, signal: undefined },
    onObject: () => undefined,
  })
}

describe('compareSites', () => {
  test('equal sites have no differences, and every object and byte is counted', async () => {
    expect(await compare()).toEqual({
      ...{ objects: 3, differences: 0, examples: [] },
      bytes: written.reduce((sum, { size }) => sum + size, 0),
    })
  })

  test('buckets without objects make no difference', async () => {
    await a.createBucket('purged')
    expect((await compare()).differences).toBe(0)
  })

  test.each<[string, () => void, string]>([
    [
      'other bytes',
      () => siteB.buckets.get('b')?.get('one')?.body.write('B'),
      'b/one differs in bytes, etag, the list',
    ],
    [
      'other metadata',
      () => {
        const object = siteB.buckets.get('b')?.get('one')
        if (object) siteB.buckets.get('b')?.set('one', { ...object, headers: {} })
      },
      'b/one differs in content-type, x-amz-meta-note',
    ],
    ['an object missing at B', () => siteB.buckets.get('b')?.delete('one'), 'b/one is only at A'],
    ['an object missing at A', () => siteA.buckets.get('b')?.delete('one'), 'b/one is only at B'],
  ])('finds %s', async (_, spoil, example) => {
    spoil()
    const { differences, examples } = await compare()
    expect(differences).toBeGreaterThan(0)
    expect(examples).toContain(example)
  })

  test('finds what both sites lost', async () => {
    siteA.buckets.get('b')?.delete('three')
    siteB.buckets.get('b')?.delete('three')
    const { examples } = await compare()
    expect(examples).toEqual(['b/three was answered and is not at A'])
  })

  test('finds what both sites have wrong', async () => {
    for (const site of [siteA, siteB]) site.buckets.get('b')?.get('one')?.body.write('B')
    const { examples } = await compare()
    expect(examples).toEqual(['b/one differs in what was written'])
  })

  test('counts all differences and names the first ten', async () => {
    for (let i = 0; i < 25; i++) {
      await b.putObject({ bucket: 'extra', key: `${i}`, body: Buffer.of(1), contentLength: 1 })
    }
    const { differences, examples } = await compare()
    expect([differences, examples.length]).toEqual([25, 10])
  })
})
