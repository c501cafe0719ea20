import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSite, type TestSite } from './start-site.ts'

let site: TestSite
beforeAll(async () => {
  site = await startSite({ region: 'eu-home-1' })
})
afterAll(() => site.close())

describe('buckets', () => {
  it('are created once or twice with 200 and a Location, and listed', async () => {
    for (const body of ['', '<CreateBucketConfiguration/>']) {
      const answer = await site.send('PUT', '/photos', { body })
      expect(answer.status).toBe(200)
      expect(answer.headers.location).toBe('/photos')
    }
    const list = await site.send('GET', '/')
    expect(list.headers['content-type']).toBe('application/xml')
    expect(list.text).toMatch(/<Bucket><Name>photos<\/Name><CreationDate>\d{4}-[^<]+Z</)
    const head = await site.send('HEAD', '/photos')
    expect([head.status, head.headers['x-amz-bucket-region']]).toEqual([200, 'eu-home-1'])
    const location = await site.send('GET', '/photos?location')
    expect(location.text).toContain('>eu-home-1</LocationConstraint>')
  })

  it('are deleted when empty, refused when not, and gone afterwards', async () => {
    await site.send('PUT', '/short-lived/key', { body: 'x' })
    const refused = await site.send('DELETE', '/short-lived')
    expect(refused.status).toBe(409)
    expect(refused.text).toContain('<Code>BucketNotEmpty</Code>')
    await site.send('DELETE', '/short-lived/key')
    expect((await site.send('DELETE', '/short-lived')).status).toBe(204)
    expect((await site.send('DELETE', '/short-lived')).status).toBe(404)
    expect((await site.send('HEAD', '/short-lived')).status).toBe(404)
    expect((await site.send('GET', '/short-lived')).text).toContain('<Code>NoSuchBucket</Code>')
  })

  it.each([
    'admin',
    'ab',
    'Upper',
    'under_score',
    '10.0.0.1',
    'a..b',
    '-a-',
    'x'.repeat(64),
    '%2e%2e',
  ])('cannot be called %s', async (name) => {
    for (const path of [`/${name}`, `/${name}/key`]) {
      const answer = await site.send('PUT', path, { body: '' })
      expect(answer.status).toBe(400)
      expect(answer.text).toContain('<Code>InvalidBucketName</Code>')
    }
  })

  it('are found with and without a slash behind the name', async () => {
    await site.send('PUT', '/slashed/')
    expect((await site.send('HEAD', '/slashed/')).status).toBe(200)
    expect((await site.send('HEAD', '/sl%61shed')).status).toBe(200)
  })

  it('are not made by a PUT when that is switched off', async () => {
    const strict = await startSite({ autoCreateBuckets: false })
    try {
      for (const body of ['', 'small', Buffer.alloc(100_000)]) {
        const answer = await strict.send('PUT', '/nobody/key', { body })
        expect(answer.status).toBe(404)
        expect(answer.text).toContain('<Code>NoSuchBucket</Code>')
      }
      expect((await strict.send('GET', '/')).text).not.toContain('nobody')
    } finally {
      await strict.close()
    }
  })

  it('with object lock are refused by name', async () => {
    const headers = { 'x-amz-bucket-object-lock-enabled': 'true' }
    expect((await site.send('PUT', '/locked', { headers })).status).toBe(501)
    expect((await site.send('HEAD', '/locked')).status).toBe(404)
  })
})

describe('what ComIO does not do yet', () => {
  it.each([
    ['GET', '/photos?versioning', 'GetBucketVersioning'],
    ['PUT', '/photos?policy', 'PutBucketPolicy'],
    ['DELETE', '/photos?cors', 'DeleteBucketCors'],
    ['GET', '/photos?uploads', 'ListMultipartUploads'],
    ['GET', '/photos?versions', 'ListObjectVersions'],
    ['POST', '/photos?delete', 'DeleteObjects'],
    ['POST', '/photos', 'PostObject'],
    ['OPTIONS', '/photos/key', 'Preflight'],
    ['POST', '/photos/key?uploads', 'CreateMultipartUpload'],
    ['PUT', '/photos/key?partNumber=1&uploadId=x', 'UploadPart'],
    ['GET', '/photos/key?tagging', 'GetObjectTagging'],
    ['PUT', '/photos/key?acl', 'PutObjectAcl'],
    ['GET', '/photos/key?versionId=abc', 'GetObjectVersion'],
    ['DELETE', '/photos/key?versionId=abc', 'DeleteObjectVersion'],
  ])('%s %s is refused by name', async (method, path, name) => {
    const answer = await site.send(method, path)
    expect(answer.status).toBe(501)
    expect(answer.text).toContain(`ComIO does not do ${name} yet.`)
  })

  it('copies nothing', async () => {
    const headers = { 'x-amz-copy-source': '/photos/other' }
    const answer = await site.send('PUT', '/photos/copy', { headers })
    expect(answer.text).toContain('CopyObject')
    expect((await site.send('HEAD', '/photos/copy')).status).toBe(404)
  })

  it('refuses methods that S3 does not have', async () => {
    for (const [method, path] of [
      ['PATCH', '/photos/key'],
      ['PATCH', '/photos'],
      ['POST', '/photos/key'],
      ['PUT', '/'],
    ] as const) {
      const answer = await site.send(method, path)
      expect(answer.status).toBe(405)
      expect(answer.headers.allow).toContain('GET')
    }
  })

  it('ignores parameters that mean nothing here, as SDKs send them', async () => {
    expect((await site.send('PUT', '/photos/key?x-id=PutObject', { body: 'x' })).status).toBe(200)
    expect((await site.send('GET', '/photos/key?versionId=null')).text).toBe('x')
    await site.send('DELETE', '/photos/key')
  })
})

describe('access', () => {
  it('is asked for with read and write, before anything is looked at', async () => {
    const asked: string[] = []
    const closed = await startSite({
      authorize(_request, access) {
        asked.push(access)
        return { allowed: false, status: 401, message: 'A token is needed.' }
      },
    })
    try {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'POST']) {
        const answer = await closed.send(method, '/%zz')
        expect(answer.status).toBe(401)
        expect(answer.headers['www-authenticate']).toBe('Bearer')
        if (method !== 'HEAD') expect(answer.text).toContain('A token is needed.')
      }
    } finally {
      await closed.close()
    }
    expect(asked).toEqual(['read', 'read', 'write', 'write', 'write'])
  })
})
