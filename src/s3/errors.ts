/**
 * Only this file knows S3's error codes and their HTTP statuses. Errors of the layers below are
 * translated by their stable code; anything unknown is an InternalError with a request id.
 */
import { ComioError, type ErrorFacts } from '../base/errors.ts'

interface S3ErrorKind {
  readonly status: number
  /** Worded for people; used when the thrower has nothing better to say. */
  readonly message: string
}

const kinds = {
  AccessDenied: { status: 403, message: 'These credentials do not allow this request.' },
  BadDigest: {
    status: 400,
    message: 'The checksum sent with the body does not match the bytes that arrived.',
  },
  BucketNotEmpty: {
    status: 409,
    message: 'The bucket still holds objects. Delete or purge them before deleting the bucket.',
  },
  EntityTooLarge: {
    status: 413,
    message: 'The body is larger than one upload may be.',
  },
  IncompleteBody: {
    status: 400,
    message: 'The body ended before Content-Length bytes had arrived. Nothing was stored.',
  },
  InsufficientStorage: {
    status: 507,
    message: 'The storage is full. Nothing was stored; reads and deletes still work.',
  },
  InternalError: {
    status: 500,
    message: 'Something went wrong here. The log has the reason under this request id.',
  },
  InvalidArgument: { status: 400, message: 'An argument of the request has no valid value.' },
  InvalidBucketName: {
    status: 400,
    message:
      'A bucket name has 3 to 63 lower-case letters, digits, dots and hyphens, begins and ends ' +
      'with a letter or digit, and is neither an IP address nor "admin".',
  },
  InvalidDigest: {
    status: 400,
    message: 'A checksum header does not have the form that its algorithm needs.',
  },
  InvalidRange: {
    status: 416,
    message: 'The requested range lies outside of the object.',
  },
  InvalidRequest: { status: 400, message: 'The request does not make sense as it is.' },
  InvalidURI: {
    status: 400,
    message: 'The address cannot be decoded: it needs valid percent-encoding of valid UTF-8.',
  },
  KeyTooLongError: { status: 400, message: 'A key has at most 1024 bytes of UTF-8.' },
  MetadataTooLarge: {
    status: 400,
    message: 'The user metadata (x-amz-meta-*) has at most 2048 bytes, names and values together.',
  },
  MethodNotAllowed: { status: 405, message: 'This method is not allowed on this resource.' },
  MissingContentLength: {
    status: 411,
    message: 'An upload needs a Content-Length header: chunked transfer is not accepted.',
  },
  NoSuchBucket: { status: 404, message: 'There is no bucket of this name.' },
  NoSuchKey: { status: 404, message: 'There is no object of this name in the bucket.' },
  NotImplemented: { status: 501, message: 'ComIO does not do this yet.' },
  ObjectCorrupted: {
    status: 500,
    message:
      'The stored bytes of this object are damaged, and no other site could give them just now. ' +
      'Nothing wrong was sent. The log has the place under this request id.',
  },
  PreconditionFailed: {
    status: 412,
    message: 'A condition of the request (If-Match and the like) does not hold.',
  },
  RequestTimeout: {
    status: 400,
    message: 'The body stopped arriving and the wait was given up. Nothing was stored.',
  },
  ServiceUnavailable: {
    status: 503,
    message: 'The store cannot take this request at the moment. Try again later.',
  },
  SlowDown: {
    status: 503,
    message: 'Too many bytes are in flight. Slow down and try again.',
  },
  Unauthorized: { status: 401, message: 'This request needs credentials.' },
  XAmzContentSHA256Mismatch: {
    status: 400,
    message: 'x-amz-content-sha256 does not match the bytes that arrived.',
  },
} as const satisfies Record<string, S3ErrorKind>

export type S3ErrorCode = keyof typeof kinds

/** Flat name-value pairs, as `writeHead` takes them. */
export type HeaderList = string[]

export interface S3ErrorOptions {
  readonly message?: string
  readonly headers?: HeaderList
  readonly facts?: ErrorFacts
  readonly cause?: unknown
}

/** A request refused, in S3's terms. */
export class S3Error extends ComioError {
  readonly code = 'S3_REFUSAL'
  readonly s3Code: S3ErrorCode
  readonly status: number
  /** Headers that belong to the answer beside the usual ones. */
  readonly headers: HeaderList

  constructor(s3Code: S3ErrorCode, options: S3ErrorOptions = {}) {
    super(options.message ?? kinds[s3Code].message, {
      cause: options.cause,
      ...(options.facts === undefined ? {} : { facts: options.facts }),
    })
    this.s3Code = s3Code
    this.status = kinds[s3Code].status
    this.headers = options.headers ?? []
  }
}

/** Store and base errors by their stable codes. `own` passes their message on: it is meant for clients. */
const translations: Readonly<Record<string, { readonly to: S3ErrorCode; readonly own: boolean }>> =
  {
    NO_SUCH_BUCKET: { to: 'NoSuchBucket', own: false },
    BUCKET_NOT_EMPTY: { to: 'BucketNotEmpty', own: false },
    PRECONDITION_FAILED: { to: 'PreconditionFailed', own: false },
    BAD_DIGEST: { to: 'BadDigest', own: false },
    INCOMPLETE_BODY: { to: 'IncompleteBody', own: false },
    STORAGE_FULL: { to: 'InsufficientStorage', own: false },
    INDEX_FULL: { to: 'InsufficientStorage', own: false },
    INVALID_NAME: { to: 'InvalidArgument', own: true },
    OBJECT_TOO_LARGE: { to: 'EntityTooLarge', own: false },
    METADATA_TOO_LARGE: { to: 'MetadataTooLarge', own: true },
    VOLUME_FULL: { to: 'InsufficientStorage', own: false },
    // Not full: it writes again once somebody has looked at the disk and started the site anew.
    VOLUME_READ_ONLY: { to: 'ServiceUnavailable', own: false },
    VOLUME_WRITE_FAILED: { to: 'ServiceUnavailable', own: false },
    HASH_THREAD_FAILED: { to: 'ServiceUnavailable', own: false },
    STORE_UNAVAILABLE: { to: 'ServiceUnavailable', own: false },
    SYNC_UNCONFIRMED: { to: 'ServiceUnavailable', own: true },
    ROLE_CHANGING: { to: 'ServiceUnavailable', own: true },
    REPLICA_READ_ONLY: { to: 'AccessDenied', own: true },
    PROXIED_READ_FAILED: { to: 'ServiceUnavailable', own: true },
    CORRUPT_OBJECT: { to: 'ObjectCorrupted', own: false },
    BUDGET_EXHAUSTED: { to: 'SlowDown', own: false },
  }

const retryHeaders: Partial<Record<S3ErrorCode, HeaderList>> = {
  SlowDown: ['Retry-After', '1'],
  ServiceUnavailable: ['Retry-After', '5'],
}

/** Where a write that a replica refuses belongs. */
function primaryHeader(thrown: unknown): HeaderList | undefined {
  const primary = thrown instanceof ComioError ? thrown.facts.primary : undefined
  return typeof primary === 'string' ? ['x-comio-primary', primary] : undefined
}

/** What a client is told about anything that was thrown. */
export function toS3Error(thrown: unknown): S3Error {
  if (thrown instanceof S3Error) return thrown
  const translation = thrown instanceof ComioError ? translations[thrown.code] : undefined
  if (translation === undefined) return new S3Error('InternalError', { cause: thrown })
  const headers = retryHeaders[translation.to] ?? primaryHeader(thrown)
  return new S3Error(translation.to, {
    cause: thrown,
    ...(headers === undefined ? {} : { headers: [...headers] }),
    ...(translation.own && thrown instanceof ComioError ? { message: `${thrown.message}.` } : {}),
  })
}
