import { describe, expect, it } from 'vitest'
import { BudgetExhaustedError } from '../../src/base/byte-budget.ts'
import { ComioError } from '../../src/base/errors.ts'
import { S3Error, toS3Error } from '../../src/s3/errors.ts'
import {
  BadDigestError,
  BucketNotEmptyError,
  CorruptObjectError,
  IncompleteBodyError,
  InvalidNameError,
  MetadataTooLargeError,
  NoSuchBucketError,
  ObjectTooLargeError,
  PreconditionFailedError,
  StorageFullError,
  StoreUnavailableError,
} from '../../src/store/model/errors.ts'
import {
  GroupWriteError,
  VolumeFullError,
  VolumeReadOnlyError,
} from '../../src/volume/format/errors.ts'

const name = { bucket: 'b', key: 'k' }

class StrangeError extends ComioError {
  readonly code = 'STRANGE'
}

describe('errors of the layers below', () => {
  it.each([
    [new NoSuchBucketError('b'), 404, 'NoSuchBucket'],
    [new BucketNotEmptyError('b'), 409, 'BucketNotEmpty'],
    [new PreconditionFailedError(name), 412, 'PreconditionFailed'],
    [new BadDigestError(name), 400, 'BadDigest'],
    [new IncompleteBodyError({ expected: 2, received: 1 }), 400, 'IncompleteBody'],
    [new StorageFullError({ wanted: 1 }), 507, 'InsufficientStorage'],
    [new InvalidNameError('no name'), 400, 'InvalidArgument'],
    [new MetadataTooLargeError({ bytes: 2, limit: 1 }), 400, 'MetadataTooLarge'],
    [new ObjectTooLargeError({ bytes: 2, limit: 1 }), 413, 'EntityTooLarge'],
    [new StoreUnavailableError('closed'), 503, 'ServiceUnavailable'],
    [new VolumeFullError({ usedBytes: 1, capacityBytes: 1 }), 507, 'InsufficientStorage'],
    [new VolumeReadOnlyError('two writes failed', undefined), 503, 'ServiceUnavailable'],
    [
      new GroupWriteError({ segment: 1, generation: 1, offset: 0 }, new Error('EIO')),
      503,
      'ServiceUnavailable',
    ],
    [new BudgetExhaustedError('full'), 503, 'SlowDown'],
    [new CorruptObjectError('rot'), 500, 'ObjectCorrupted'],
    [new StrangeError('odd'), 500, 'InternalError'],
    [new TypeError('bug'), 500, 'InternalError'],
    ['thrown text', 500, 'InternalError'],
  ])('%s becomes %i %s', (thrown, status, code) => {
    const error = toS3Error(thrown)
    expect([error.status, error.s3Code]).toEqual([status, code])
    expect(error.cause).toBe(thrown)
  })

  it('never tell a client what was not meant for it', () => {
    expect(toS3Error(new StrangeError('secret path /x')).message).not.toContain('secret')
    expect(toS3Error(new InvalidNameError('the key is empty')).message).toBe('the key is empty.')
  })

  it('pass through when they are in terms of S3 already', () => {
    const error = new S3Error('NoSuchKey')
    expect(toS3Error(error)).toBe(error)
  })
})
