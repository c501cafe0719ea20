import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { S3Error } from '../../src/s3/errors.ts'
import { notYetOperationNames } from '../../src/s3/operation.ts'
import { parseOperation } from '../../src/s3/operation-parser.ts'
import { percentEncode } from '../../src/s3/percent-codec.ts'

const parse = (method: string, target: string) => parseOperation({ method, target, headers: {} })

describe('a request target', () => {
  it.each([
    ['GET', '/', 'ListBuckets'],
    ['GET', '/bucket', 'ListObjects'],
    ['GET', '/bucket/', 'ListObjects'],
    ['GET', '/bucket?list-type=2', 'ListObjectsV2'],
    ['GET', '/bucket?location', 'GetBucketLocation'],
    ['PUT', '/bucket', 'CreateBucket'],
    ['HEAD', '/bucket', 'HeadBucket'],
    ['DELETE', '/bucket', 'DeleteBucket'],
    ['GET', '/bucket/key', 'GetObject'],
    ['PUT', '/bucket/key', 'PutObject'],
    ['HEAD', '/bucket/key', 'HeadObject'],
    ['DELETE', '/bucket/key', 'DeleteObject'],
    ['GET', 'http://host:1/bucket/key', 'GetObject'],
    ['GET', 'http://host', 'ListBuckets'],
    ['GET', '/bucket/key?constructor', 'GetObject'],
    ['GET', '/bucket?__proto__', 'ListObjects'],
    ['DELETE', '/bucket/key?uploadId=1', 'AbortMultipartUpload'],
    ['POST', '/bucket/key?uploadId=1', 'CompleteMultipartUpload'],
    ['POST', '/bucket/key?restore', 'RestoreObject'],
    ['POST', '/bucket/key?select&select-type=2', 'SelectObjectContent'],
    ['GET', '/bucket/key?attributes', 'GetObjectAttributes'],
    ['GET', '/bucket/key?uploadId=1', 'ListParts'],
    ['HEAD', '/bucket/key?partNumber=1', 'GetObjectPart'],
  ])('%s %s asks for %s', (method, target, name) => {
    expect(parse(method, target).name).toBe(name)
  })

  it.each(['*', '//key', '/UPPER/key', 'ftp://host/bucket', '/bucket/%'])(
    '%s asks for nothing',
    (target) => {
      expect(() => parse('GET', target)).toThrow(S3Error)
    },
  )

  it.each([
    ['GET', '/docs/key?uploads'],
    ['HEAD', '/docs/key?uploads'],
    ['PUT', '/docs/key?uploads'],
    ['DELETE', '/docs/key?uploads='],
    ['PUT', '/docs/key?versionId=1'],
  ])('that means something else by another method is refused: %s %s', (method, target) => {
    expect(() => parseOperation({ method, target, headers: {} })).toThrow(S3Error)
  })

  it('names every key exactly once', () => {
    const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 80 })
    fc.assert(
      fc.property(key, (name) => {
        fc.pre(Buffer.byteLength(name) <= 1024)
        expect(parse('GET', `/bucket/${percentEncode(name)}`)).toMatchObject({ key: name })
      }),
    )
  })

  it('ends in an operation or an S3Error, whatever it is', () => {
    const target = fc.oneof(
      fc.string(),
      fc.webUrl(),
      fc.stringMatching(/^\/[a-z]{0,5}\/?[a-z%/?&=]{0,30}$/),
    )
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'X'),
        target,
        (method, text) => {
          try {
            expect(parse(method, text).name).toMatch(/^[A-Z]/)
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(S3Error)
          }
        },
      ),
    )
  })

  it('knows no operation twice', () => {
    expect(new Set(notYetOperationNames).size).toBe(notYetOperationNames.length)
  })
})
