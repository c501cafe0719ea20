import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSite, type TestSite } from './start-site.ts'

let site: TestSite
beforeAll(async () => {
  site = await startSite()
})
afterAll(() => site.close())

const md5 = (bytes: string | Uint8Array, encoding: 'hex' | 'base64' = 'hex'): string =>
  createHash('md5').update(bytes).digest(encoding)

/** Bytes that differ from place to place, so that a shifted answer shows. */
function patternBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 17) & 0xff
  return bytes
}

describe('PUT and GET of an object', () => {
  it.each([0, 1, 4096, 65_536, 65_537, 262_144, 262_145, 3_000_000])(
    'brings %i bytes back unchanged, with ETag and length',
    async (length) => {
      const body = patternBytes(length)
      const put = await site.send('PUT', `/bytes/of-${length}`, { body })
      expect(put.status).toBe(200)
      expect(put.headers.etag).toBe(`"${md5(body)}"`)
      expect(put.headers['content-length']).toBe('0')
      const get = await site.send('GET', `/bytes/of-${length}`)
      expect(get.status).toBe(200)
      expect(get.body.equals(body)).toBe(true)
      expect(get.headers).toMatchObject({
        etag: `"${md5(body)}"`,
        'content-length': String(length),
        'content-type': 'application/octet-stream',
        'accept-ranges': 'bytes',
      })
      const head = await site.send('HEAD', `/bytes/of-${length}`)
      expect(head.status).toBe(200)
      expect(head.body.length).toBe(0)
      const { date: _1, 'x-amz-request-id': _2, ...told } = get.headers
      expect(head.headers).toMatchObject(told)
    },
  )

  it('answers the walk-through of the original', async () => {
    const body = patternBytes(1000)
    const put = await site.send('PUT', '/mybucket/myfile', {
      body,
      headers: { 'content-type': 'application/octet-stream' },
    })
    expect(put.status).toBe(200)
    expect((await site.send('GET', '/mybucket/myfile')).body.equals(body)).toBe(true)
  })

  it('replaces an object and tells the newer bytes', async () => {
    await site.send('PUT', '/mybucket/twice', { body: 'first' })
    await site.send('PUT', '/mybucket/twice', { body: 'second, longer' })
    expect((await site.send('GET', '/mybucket/twice')).text).toBe('second, longer')
  })

  it('deletes with 204, again with 204, and is 404 afterwards', async () => {
    await site.send('PUT', '/mybucket/gone', { body: 'x' })
    expect((await site.send('DELETE', '/mybucket/gone')).status).toBe(204)
    expect((await site.send('DELETE', '/mybucket/gone')).status).toBe(204)
    const get = await site.send('GET', '/mybucket/gone')
    expect(get.status).toBe(404)
    expect(get.text).toContain('<Code>NoSuchKey</Code>')
    expect(get.text).toContain('<Resource>/mybucket/gone</Resource>')
    expect(get.text).toContain(`<RequestId>${get.headers['x-amz-request-id']}</RequestId>`)
    const head = await site.send('HEAD', '/mybucket/gone')
    expect([head.status, head.body.length]).toEqual([404, 0])
  })

  it('tells a missing bucket from a missing key', async () => {
    for (const method of ['GET', 'DELETE']) {
      const answer = await site.send(method, '/no-such-bucket/key')
      expect(answer.status).toBe(404)
      expect(answer.text).toContain('<Code>NoSuchBucket</Code>')
    }
  })

  it('gives every answer its own request id', async () => {
    const ids = new Set<unknown>()
    for (const path of ['/', '/mybucket', '/mybucket/none', '/UPPER/x']) {
      ids.add((await site.send('GET', path)).headers['x-amz-request-id'])
    }
    expect(ids.size).toBe(4)
    for (const id of ids) expect(id).toMatch(/^[0-9A-F]{16}$/)
  })
})

describe('keys', () => {
  it.each([
    ['a%20b', 'a b'],
    ['a+b', 'a+b'],
    ['deep/er//and/../still/./here/', 'deep/er//and/../still/./here/'],
    ['%2e%2e/%2Fx', '../' + '/x'],
    ['%E2%82%AC%F0%9F%98%80', '€😀'],
    ['%00%01%1f', '\0\x01\x1f'],
    ['n%C3%A4ive', 'näive'],
    ['%EF%BB%BFbom', '\ufeffbom'],
    ['100%25', '100%'],
    ['a%3Fb%23c', 'a?b#c'],
  ])('%s is stored as its bytes and nothing else', async (path, key) => {
    expect((await site.send('PUT', `/keys/${path}`, { body: key })).status).toBe(200)
    expect((await site.send('GET', `/keys/${path}`)).text).toBe(key)
    expect(site.store.headObject({ bucket: 'keys', key })?.key).toBe(key)
  })

  it.each(['%', '%4', '%zz', '%ff', '%c0%af', '%ed%a0%80', '%C3'])(
    'refuses %s, which is no percent-encoded UTF-8',
    async (path) => {
      const answer = await site.send('PUT', `/keys/${path}`, { body: 'x' })
      expect(answer.status).toBe(400)
      expect(answer.text).toContain('<Code>InvalidURI</Code>')
    },
  )

  it('takes 1024 bytes of UTF-8 and not one more', async () => {
    const longest = '%C3%A4'.repeat(512)
    expect((await site.send('PUT', `/keys/${longest}`, { body: 'x' })).status).toBe(200)
    const longer = await site.send('PUT', `/keys/${longest}x`, { body: 'x' })
    expect(longer.status).toBe(400)
    expect(longer.text).toContain('<Code>KeyTooLongError</Code>')
  })
})

describe('headers of an object', () => {
  it('keeps the content headers and user metadata as sent', async () => {
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'max-age=60',
      'content-disposition': 'attachment; filename="a.txt"',
      'content-encoding': 'gzip',
      'content-language': 'de',
      expires: 'Thu, 01 Dec 2033 16:00:00 GMT',
      'x-amz-meta-owner': 'me',
      'x-amz-meta-empty': '',
      'x-amz-meta-__proto__': 'harmless',
    }
    await site.send('PUT', '/meta/all', { body: 'x', headers: { ...headers, 'x-other': 'no' } })
    for (const method of ['GET', 'HEAD']) {
      const answer = await site.send(method, '/meta/all')
      expect(answer.headers).toMatchObject({ ...headers, 'x-amz-meta-__proto__': 'harmless' })
      expect(answer.headers).not.toHaveProperty('x-other')
    }
  })

  it('stores what curl sends by itself', async () => {
    await site.send('PUT', '/meta/curl', {
      body: 'x',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    expect((await site.send('HEAD', '/meta/curl')).headers['content-type']).toBe(
      'application/x-www-form-urlencoded',
    )
  })

  it('stores UTF-8 in metadata as text and returns the same bytes', async () => {
    const onWire = Buffer.from('grün 😀').toString('latin1')
    await site.send('PUT', '/meta/utf8', { body: 'x', headers: { 'x-amz-meta-colour': onWire } })
    const info = site.store.headObject({ bucket: 'meta', key: 'utf8' })
    expect(info?.meta.userMetadata.colour).toBe('grün 😀')
    expect((await site.send('GET', '/meta/utf8')).headers['x-amz-meta-colour']).toBe(onWire)
  })

  it('refuses metadata that is not UTF-8', async () => {
    const headers = { 'x-amz-meta-colour': 'gr\u00fcn' }
    const answer = await site.send('PUT', '/meta/latin', { body: 'x', headers })
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('x-amz-meta-colour')
  })

  it('joins metadata that comes twice', async () => {
    await site.send('PUT', '/meta/dup', { body: 'x', headers: { 'x-amz-meta-a': ['1', '2'] } })
    expect((await site.send('GET', '/meta/dup')).headers['x-amz-meta-a']).toBe('1, 2')
  })

  it('takes 2048 bytes of metadata and not one more', async () => {
    const value = 'v'.repeat(2045)
    const put = (extra: string): Promise<{ status: number; text: string }> =>
      site.send('PUT', '/meta/large', { body: 'x', headers: { 'x-amz-meta-abc': value + extra } })
    expect((await put('')).status).toBe(200)
    const refused = await put('v')
    expect(refused.status).toBe(400)
    expect(refused.text).toContain('<Code>MetadataTooLarge</Code>')
  })

  it('lets the query of a GET override content headers, but not split them', async () => {
    await site.send('PUT', '/meta/over', { body: 'x' })
    const path = '/meta/over?response-content-type=text%2Fcsv&response-cache-control=no-store'
    const answer = await site.send('GET', path)
    expect(answer.headers).toMatchObject({
      'content-type': 'text/csv',
      'cache-control': 'no-store',
    })
    const split = await site.send('GET', '/meta/over?response-content-type=a%0d%0aset-cookie:b')
    expect(split.status).toBe(400)
  })
})

describe('checksums of an upload', () => {
  it('accepts the right Content-MD5 and refuses a wrong or malformed one', async () => {
    const put = (digest: string) =>
      site.send('PUT', '/sums/md5', { body: 'hello', headers: { 'content-md5': digest } })
    expect((await put(md5('hello', 'base64'))).status).toBe(200)
    const wrong = await put(md5('other', 'base64'))
    expect([wrong.status, wrong.text.includes('<Code>BadDigest</Code>')]).toEqual([400, true])
    const malformed = await put('nonsense')
    expect(malformed.text).toContain('<Code>InvalidDigest</Code>')
  })

  it.each([10, 200_000, 700_000])(
    'verifies the checksums that SDKs send, %i bytes',
    async (length) => {
      const body = patternBytes(length)
      const digest = (algorithm: string, encoding: 'hex' | 'base64') =>
        createHash(algorithm).update(body).digest(encoding)
      const good = {
        'x-amz-content-sha256': digest('sha256', 'hex'),
        'x-amz-checksum-sha256': digest('sha256', 'base64'),
        'x-amz-checksum-sha1': digest('sha1', 'base64'),
      }
      expect((await site.send('PUT', '/sums/all', { body, headers: good })).status).toBe(200)
      const other = { 'x-amz-content-sha256': createHash('sha256').digest('hex') }
      const signed = await site.send('PUT', '/sums/none', { body, headers: other })
      expect(signed.text).toContain('<Code>XAmzContentSHA256Mismatch</Code>')
      const crc = await site.send('PUT', '/sums/none', {
        body,
        headers: { 'x-amz-checksum-crc32': 'AAAAAA==' },
      })
      expect(crc.text).toContain('<Code>BadDigest</Code>')
      expect((await site.send('HEAD', '/sums/none')).status).toBe(404)
    },
  )

  it('verifies the CRC-32 that SDKs send by default', async () => {
    const headers = { 'x-amz-checksum-crc32': 'y/Q5Jg==' }
    const answer = await site.send('PUT', '/sums/crc', { body: '123456789', headers })
    expect(answer.status).toBe(200)
  })

  it.each([
    { 'content-encoding': 'aws-chunked' },
    { 'content-encoding': 'gzip,aws-chunked' },
    { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' },
    { 'x-amz-decoded-content-length': '5' },
    { 'x-amz-server-side-encryption': 'AES256' },
  ])('refuses by name what it would have to store differently: %j', async (headers) => {
    const answer = await site.send('PUT', '/sums/framed', {
      body: 'hello',
      headers: headers as Record<string, string>,
    })
    expect(answer.status).toBe(501)
    expect(answer.text).toContain('<Code>NotImplemented</Code>')
    expect((await site.send('HEAD', '/sums/framed')).status).toBe(404)
  })
})

describe('ranges', () => {
  const small = patternBytes(1000)
  const large = patternBytes(700_000)
  beforeAll(async () => {
    await site.send('PUT', '/range/small', { body: small })
    await site.send('PUT', '/range/large', { body: large })
    await site.send('PUT', '/range/empty', { body: '' })
  })

  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=10-19', 10, 20],
    ['bytes=990-', 990, 1000],
    ['bytes=-5', 995, 1000],
    ['bytes=-5000', 0, 1000],
    ['bytes=500-99999999999999999999999', 500, 1000],
  ])('%s of a small object', async (range, start, end) => {
    const answer = await site.send('GET', '/range/small', { headers: { range } })
    expect(answer.status).toBe(206)
    expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/1000`)
    expect(answer.headers['content-length']).toBe(String(end - start))
    expect(answer.body.equals(small.subarray(start, end))).toBe(true)
    const head = await site.send('HEAD', '/range/small', { headers: { range } })
    expect([head.status, head.headers['content-range']]).toEqual([
      206,
      `bytes ${start}-${end - 1}/1000`,
    ])
  })

  it('reads a range of a large object', async () => {
    const answer = await site.send('GET', '/range/large', {
      headers: { range: 'bytes=65000-690000' },
    })
    expect(answer.body.equals(large.subarray(65_000, 690_001))).toBe(true)
  })

  it.each(['bytes=0-1,5-6', 'bytes=9-5', 'lines=1-2', 'bytes=-', 'nonsense'])(
    'answers %s with the whole object',
    async (range) => {
      const answer = await site.send('GET', '/range/small', { headers: { range } })
      expect([answer.status, answer.body.length]).toEqual([200, 1000])
    },
  )

  it.each([
    ['/range/small', 'bytes=1000-', 1000],
    ['/range/small', 'bytes=-0', 1000],
    ['/range/empty', 'bytes=0-0', 0],
    ['/range/empty', 'bytes=-1', 0],
  ])('refuses %s %s with the size', async (path, range, size) => {
    const answer = await site.send('GET', path, { headers: { range } })
    expect(answer.status).toBe(416)
    expect(answer.headers['content-range']).toBe(`bytes */${size}`)
    expect(answer.text).toContain('<Code>InvalidRange</Code>')
  })

  it('honours If-Range only for what the client really holds', async () => {
    const { headers } = await site.send('HEAD', '/range/small')
    const status = async (ifRange: unknown) =>
      (
        await site.send('GET', '/range/small', {
          headers: { range: 'bytes=0-1', 'if-range': String(ifRange) },
        })
      ).status
    expect(await status(headers.etag)).toBe(206)
    expect(await status(headers['last-modified'])).toBe(206)
    expect(await status(`W/${headers.etag}`)).toBe(200)
    expect(await status('"other"')).toBe(200)
    expect(await status('Sun, 06 Nov 1994 08:49:37 GMT')).toBe(200)
  })
})

describe('conditions on the wire', () => {
  it('answers 304 without body but with validators, and 412 in XML', async () => {
    const put = await site.send('PUT', '/cond/a', {
      body: 'x',
      headers: { 'cache-control': 'max-age=5' },
    })
    const etag = String(put.headers.etag)
    const fresh = await site.send('GET', '/cond/a', { headers: { 'if-none-match': etag } })
    expect([fresh.status, fresh.body.length]).toEqual([304, 0])
    expect(fresh.headers).toMatchObject({ etag, 'cache-control': 'max-age=5' })
    expect(fresh.headers['last-modified']).toBeDefined()
    const failed = await site.send('GET', '/cond/a', { headers: { 'if-match': '"other"' } })
    expect(failed.status).toBe(412)
    expect(failed.text).toContain('<Code>PreconditionFailed</Code>')
  })

  it('creates once with If-None-Match: * and replaces only what If-Match names', async () => {
    const create = () =>
      site.send('PUT', '/cond/once', { body: 'one', headers: { 'if-none-match': '*' } })
    expect((await create()).status).toBe(200)
    expect((await create()).status).toBe(412)
    const replace = (etag: string) =>
      site.send('PUT', '/cond/once', { body: 'two', headers: { 'if-match': etag } })
    expect((await replace('"00000000000000000000000000000000"')).status).toBe(412)
    expect((await replace(`W/"${md5('one')}"`)).status).toBe(412)
    expect((await replace(`"${md5('one')}"`)).status).toBe(200)
    expect((await site.send('GET', '/cond/once')).text).toBe('two')
  })

  it('refuses a condition that is no list of entity tags', async () => {
    const answer = await site.send('PUT', '/cond/bad', {
      body: 'x',
      headers: { 'if-match': '"unfinished' },
    })
    expect(answer.status).toBe(400)
  })
})

describe('what is observed', () => {
  it('tells operation, status and bytes of every request', async () => {
    await site.send('PUT', '/seen/a', { body: 'hello' })
    await site.send('GET', '/seen/a')
    await site.send('GET', '/UPPER/a')
    expect(site.observed.slice(-3)).toMatchObject([
      { operation: 'PutObject', status: 200, bytesIn: 5, bytesOut: 0 },
      { operation: 'GetObject', status: 200, bytesIn: 0, bytesOut: 5 },
      { operation: 'Unknown', status: 400 },
    ])
  })
})
