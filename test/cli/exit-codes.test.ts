import { expect, test } from 'vitest'
import {
  AdminRequestError,
  SiteUnreachableError,
  UnexpectedAnswerError,
} from '../../src/admin/client-errors.ts'
import { AssertionError } from '../../src/base/assert.ts'
import { CommandFailedError, OutputError, UsageError } from '../../src/cli/errors.ts'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { ConfigError } from '../../src/config/errors.ts'
import { ForeignContentError, VolumeInUseError } from '../../src/device/errors.ts'
import { IndexInUseError, IndexOpenError } from '../../src/index/errors.ts'
import { S3UnreachableError } from '../../src/s3/client-errors.ts'
import { AddressInUseError, WorkStoppedError } from '../../src/server/errors.ts'
import {
  CapacityTooSmallError,
  LostLogError,
  SiteIdMismatchError,
} from '../../src/volume/format/errors.ts'

test.each([
  [2, new UsageError('x')],
  [2, new ConfigError([])],
  [2, new AddressInUseError('x')],
  [2, new ForeignContentError('/dev/x', 'swap space')],
  [2, new VolumeInUseError('v', 1)],
  [2, new IndexInUseError('/x')],
  [2, new IndexOpenError('/x', new Error('y'))],
  [2, new SiteIdMismatchError('a', 'b')],
  [2, new CapacityTooSmallError(1, 2)],
  [3, new SiteUnreachableError('x')],
  [3, new S3UnreachableError('x')],
  [130, new WorkStoppedError()],
  [1, new OutputError(new Error('x'))],
  [1, new AdminRequestError('x', { status: 403, code: 'FORBIDDEN' })],
  [1, new AdminRequestError('x', { status: 400, code: 'USAGE' })],
  [1, new UnexpectedAnswerError('x')],
  [1, new CommandFailedError('x')],
  [1, new LostLogError('x')],
  [1, new AssertionError('x')],
  [1, new Error('x')],
  [1, 'x'],
  [1, undefined],
  [2, Object.assign(new Error('x'), { oclif: { exit: 2 } })],
  [0, Object.assign(new Error('x'), { oclif: { exit: 0 } })],
])('%i for %s', (code, thrown) => {
  expect(exitCodeOf(thrown)).toBe(code)
})
