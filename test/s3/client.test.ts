import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { S3Client } from '../../src/s3/client.ts'
import {
  S3AddressError,
  S3AnswerError,
  S3ResponseError,
  S3UnreachableError,
} from '../../src/s3/client-errors.ts'
import { sendError, TinyS3Server } from '../bench/tiny-s3-server.ts'

let site: TinyS3Server
let client: S3Client

beforeEach(async () => {
  site = await TinyS3Server.start()
  client = new S3Client({ url: site.url, token: 'secret-token', connections: 4 })
})

afterEach(async () => {
  await client.close()
  await site.stop()
})

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of source) all.push(item)
  return all
}

async function* pieces(body: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size)
}

describe('S3Client', () => {
  test('stores, describes, hashes and deletes an object, with its metadata and the token', async () => {
    const body = Buffer.from('some bytes')
    const headers = { 'content-type': 'text/plain', 'x-amz-meta-colour': 'blue' }
    const address = { bucket: 'b', key: 'k' }
    const etag = await client.putObject({
      ...address,
      body,
      contentLength: body.length,
      headers,
    })
    expect(etag).toBe(createHash('md5').update(body).digest('hex'))
    const head = await client.headObject(address)
    expect(head).toMatchObject({ etag, contentLength: 10, headers })
    expect(await client.digestObject(address)).toMatchObject({ etag, sha256: sha256(body) })
    await client.deleteObject(address)
    expect(await client.headObject(address)).toBeUndefined()
    expect([...site.authorizations]).toEqual(['Bearer secret-token'])
  })

  test('streams a body of many pieces both ways', async () => {
    const body = Buffer.alloc(3_000_001, 'abcdefg')
    await client.putObject({
      bucket: 'b',
      key: 'large',
      body: pieces(body, 70_000),
      contentLength: body.length,
    })
    const digest = await client.digestObject({ bucket: 'b', key: 'large' })
    expect(digest).toMatchObject({ contentLength: body.length, sha256: sha256(body) })
  })

  test('stores an empty object', async () => {
    await client.putObject({ bucket: 'b', key: 'e', body: Buffer.alloc(0), contentLength: 0 })
    expect((await client.headObject({ bucket: 'b', key: 'e' }))?.contentLength).toBe(0)
  })

  test.each([
    'a b+c%2F',
    'dir/../up',
    './x',
    '&<>"\'',
    'ünïcødé/日本',
    'tab\tend',
    '?a=1#f',
    'a//b/',
  ])('carries the key %j unchanged through every request', async (key) => {
    await client.putObject({
      bucket: 'keys',
      key,
      body: Buffer.from(key),
      contentLength: Buffer.byteLength(key),
    })
    expect([...(site.buckets.get('keys')?.keys() ?? [])]).toEqual([key])
    const listed = await collect(client.listObjects({ bucket: 'keys' }))
    expect(listed.map((object) => object.key)).toEqual([key])
    const digest = await client.digestObject({ bucket: 'keys', key })
    expect(digest.sha256).toBe(sha256(Buffer.from(key)))
  })

  test('lists page by page, below a prefix', async () => {
    for (let i = 0; i < 25; i++) {
      const key = `${i < 20 ? 'in' : 'out'}/${i}`
      await client.putObject({ bucket: 'b', key, body: Buffer.from('x'), contentLength: 1 })
    }
    const request = { bucket: 'b', prefix: 'in/', maxKeys: 7 }
    const listed = await collect(client.listObjects(request))
    expect(listed).toHaveLength(20)
    expect(listed[0]).toMatchObject({
      key: 'in/0',
      size: 1,
      etag: '9dd4e461268c8034f5c8564e155c67a6',
    })
    expect(site.requests.filter((request) => request.includes('list-type=2'))).toHaveLength(3)
  })

  test('makes, finds, lists and removes buckets', async () => {
    expect(await client.bucketExists('one')).toBe(false)
    await client.createBucket('one')
    await client.createBucket('two')
    expect(await client.bucketExists('one')).toBe(true)
    expect(await client.listBuckets()).toEqual(['one', 'two'])
    await client.deleteBucket('one')
    expect(await client.listBuckets()).toEqual(['two'])
  })

  test('reports a refusal with status, S3 code and request id', async () => {
    const refusal = client.digestObject({ bucket: 'b', key: 'missing' })
    await expect(refusal).rejects.toBeInstanceOf(S3ResponseError)
    await expect(refusal).rejects.toMatchObject({
      status: 404,
      s3Code: 'NoSuchKey',
      requestId: 'request-7',
      message: 'GET /b/missing was answered with 404 NoSuchKey: because <so>',
    })
  })

  test('follows no redirect', async () => {
    site.fault = (_, response) => {
      response.writeHead(307, { location: `${site.url}/elsewhere` }).end()
      return true
    }
    await expect(client.headObject({ bucket: 'b', key: 'k' })).rejects.toMatchObject({
      status: 307,
    })
    expect(site.requests).toEqual(['HEAD /b/k'])
  })

  test('says so when nothing listens there, without the token', async () => {
    const gone = await TinyS3Server.start()
    const away = new S3Client({ url: gone.url, token: 'secret-token' })
    await gone.stop()
    const failure = await away.listBuckets().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(S3UnreachableError)
    expect(failure).toMatchObject({ message: expect.stringContaining('ECONNREFUSED') })
    expect(JSON.stringify(failure)).not.toContain('secret-token')
    await away.close()
  })

  test('says so when a body breaks off', async () => {
    site.fault = (_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('only this', () => response.destroy())
      return true
    }
    const broken = client.digestObject({ bucket: 'b', key: 'k' })
    await expect(broken).rejects.toBeInstanceOf(S3UnreachableError)
  })

  test.each([
    '<ListBucketResult><IsTruncated>false</IsTruncated>',
    '<ListBucketResult></ListBucketResult>',
    '<!DOCTYPE x><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>',
    '<ListBucketResult>&nonsense;<IsTruncated>false</IsTruncated></ListBucketResult>',
    '<html><body>hello</body></html>',
    '{"json":true}',
    '',
  ])('refuses the list %j', async (xml) => {
    site.fault = (_, response) => {
      response.end(xml)
      return true
    }
    await expect(client.listPage({ bucket: 'b' })).rejects.toBeInstanceOf(S3AnswerError)
  })

  test('refuses a list that does not end', async () => {
    site.fault = (_, response) => {
      response.end(
        '<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>',
      )
      return true
    }
    const listing = collect(client.listObjects({ bucket: 'b' }))
    await expect(listing).rejects.toThrow('does not advance')
  })

  test('an abort ends a request with the reason of the signal', async () => {
    const stop = new AbortController()
    site.fault = (_, response) => {
      stop.abort(new Error('enough'))
      setImmediate(() => sendError(response, 503, 'SlowDown'))
      return true
    }
    const request = client.headObject({ bucket: 'b', key: 'k', signal: stop.signal })
    await expect(request).rejects.toThrow('enough')
  })

  test.each(['nonsense', 'ftp://x', 'http://x/path', 'http://x/?q', 'http://u:p@x'])(
    'refuses %s as an address',
    (url) => {
      expect(() => new S3Client({ url })).toThrow(S3AddressError)
    },
  )
})
