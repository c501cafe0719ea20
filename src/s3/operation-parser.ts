/** From method, request target and headers to an {@link S3Operation}: what is asked, not whether it can be done. */
import type { IncomingHttpHeaders } from 'node:http'
import { keyBytesMax } from '../store/model/names.ts'
import type { Access } from './access.ts'
import { isBucketName } from './bucket-name.ts'
import { S3Error } from './errors.ts'
import {
  bucketSettings,
  type NotYetOperationName,
  objectSettings,
  type S3Operation,
  settingVerbs,
} from './operation.ts'
import { percentDecode } from './percent-codec.ts'
import { emptyQuery, parseQuery, type Query } from './query.ts'

/** The parts of a request that name its operation. */
export interface RequestHead {
  readonly method: string
  /** As it stood in the request line. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
}

export function accessOf(method: string): Access {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write'
}

/** @throws S3Error when the target does not decode, a name is not legal, or the method does not fit */
export function parseOperation(head: RequestHead): S3Operation {
  const target = pathAndQuery(head.target)
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? emptyQuery : parseQuery(target.slice(mark + 1))
  if (path === '/') return serviceOperation(head.method, query)
  const slash = path.indexOf('/', 1)
  const bucket = percentDecode(slash === -1 ? path.slice(1) : path.slice(1, slash))
  if (!isBucketName(bucket)) throw new S3Error('InvalidBucketName')
  if (slash === -1 || slash === path.length - 1) return bucketOperation(head.method, bucket, query)
  const key = percentDecode(path.slice(slash + 1))
  if (!isKey(key)) throw new S3Error('KeyTooLongError')
  return objectOperation(head, { bucket, key, query })
}

/** Drops scheme and authority from the absolute form, which proxies send. */
function pathAndQuery(target: string): string {
  if (target.startsWith('/')) return target
  const absolute = /^https?:\/\/[^/?]*(.*)$/i.exec(target)?.[1]
  if (absolute === undefined) throw new S3Error('InvalidURI')
  return absolute.startsWith('/') ? absolute : `/${absolute}`
}

/** A key is any UTF-8, counted in bytes; one UTF-16 unit takes at most three. */
function isKey(key: string): boolean {
  return key.length * 3 <= keyBytesMax || Buffer.byteLength(key) <= keyBytesMax
}

function serviceOperation(method: string, query: Query): S3Operation {
  if (method === 'GET') return { name: 'ListBuckets', query }
  throw new S3Error('MethodNotAllowed', { headers: ['Allow', 'GET'] })
}

function bucketOperation(method: string, bucket: string, query: Query): S3Operation {
  const further = query.size === 0 ? undefined : furtherBucketOperation(method, query)
  if (further !== undefined) return { name: further, bucket, key: undefined }
  switch (method) {
    case 'GET':
      if (query.has('location')) return { name: 'GetBucketLocation', bucket, query }
      return query.get('list-type') === '2'
        ? { name: 'ListObjectsV2', bucket, query }
        : { name: 'ListObjects', bucket, query }
    case 'PUT':
      return { name: 'CreateBucket', bucket, query }
    case 'HEAD':
      return { name: 'HeadBucket', bucket, query }
    case 'DELETE':
      return { name: 'DeleteBucket', bucket, query }
    case 'POST':
      return { name: 'PostObject', bucket, key: undefined }
    case 'OPTIONS':
      return { name: 'Preflight', bucket, key: undefined }
    default:
      throw methodNotAllowed()
  }
}

function furtherBucketOperation(method: string, query: Query): NotYetOperationName | undefined {
  if (method === 'GET' && query.has('uploads')) return 'ListMultipartUploads'
  if (method === 'GET' && query.has('versions')) return 'ListObjectVersions'
  if (method === 'POST' && query.has('delete')) return 'DeleteObjects'
  return settingOperation(method, query, bucketSettings)
}

interface ObjectTarget {
  readonly bucket: string
  readonly key: string
  readonly query: Query
}

function objectOperation(head: RequestHead, target: ObjectTarget): S3Operation {
  const { method } = head
  const further = furtherObjectOperation(head, target.query)
  if (further !== undefined) return { name: further, bucket: target.bucket, key: target.key }
  switch (method) {
    case 'GET':
      return { name: 'GetObject', ...target }
    case 'PUT':
      return { name: 'PutObject', ...target }
    case 'HEAD':
      return { name: 'HeadObject', ...target }
    case 'DELETE':
      return { name: 'DeleteObject', ...target }
    default:
      throw methodNotAllowed()
  }
}

function furtherObjectOperation(head: RequestHead, query: Query): NotYetOperationName | undefined {
  if (head.method === 'OPTIONS') return 'Preflight'
  const copy = head.method === 'PUT' && head.headers['x-amz-copy-source'] !== undefined
  if (query.size === 0) return copy ? 'CopyObject' : undefined
  const setting = settingOperation(head.method, query, objectSettings)
  if (setting !== undefined) return setting
  refuseMisplaced(head.method, query)
  switch (head.method) {
    case 'PUT':
      if (query.has('uploadId')) return copy ? 'UploadPartCopy' : 'UploadPart'
      return copy ? 'CopyObject' : undefined
    case 'GET':
    case 'HEAD':
      return furtherObjectRead(query)
    case 'POST':
      return furtherObjectPost(query)
    case 'DELETE':
      if (query.has('uploadId')) return 'AbortMultipartUpload'
      return namesVersion(query) ? 'DeleteObjectVersion' : undefined
    default:
      return undefined
  }
}

function furtherObjectRead(query: Query): NotYetOperationName | undefined {
  if (query.has('uploadId')) return 'ListParts'
  if (query.has('attributes')) return 'GetObjectAttributes'
  if (query.has('torrent')) return 'GetObjectTorrent'
  if (query.has('partNumber')) return 'GetObjectPart'
  return namesVersion(query) ? 'GetObjectVersion' : undefined
}

function furtherObjectPost(query: Query): NotYetOperationName | undefined {
  if (query.has('uploads')) return 'CreateMultipartUpload'
  if (query.has('uploadId')) return 'CompleteMultipartUpload'
  if (query.has('restore')) return 'RestoreObject'
  return query.has('select') ? 'SelectObjectContent' : undefined
}

/**
 * Parameters that make another request of it, by another method: carrying out what the method alone
 * says would overwrite or delete what was meant to stay.
 *
 * @throws S3Error
 */
function refuseMisplaced(method: string, query: Query): void {
  if (method !== 'POST' && query.has('uploads')) {
    const message = `?uploads begins a multipart upload by POST; a ${method} of an object has none.`
    throw new S3Error('InvalidArgument', { message })
  }
  if (method === 'PUT' && namesVersion(query)) {
    throw new S3Error('InvalidArgument', { message: 'A PUT makes a version and cannot name one.' })
  }
}

/** The version `null` is the only one that an object in a bucket without versions has. */
function namesVersion(query: Query): boolean {
  const versionId = query.get('versionId')
  return versionId !== undefined && versionId !== 'null'
}

function settingOperation<Setting extends string>(
  method: string,
  query: Query,
  settings: Readonly<Record<string, Setting>>,
): `${(typeof settingVerbs)[keyof typeof settingVerbs]}${Setting}` | undefined {
  if (method !== 'GET' && method !== 'PUT' && method !== 'DELETE') return undefined
  for (const parameter of query.keys()) {
    const setting = Object.hasOwn(settings, parameter) ? settings[parameter] : undefined
    if (setting !== undefined) return `${settingVerbs[method]}${setting}`
  }
  return undefined
}

function methodNotAllowed(): S3Error {
  return new S3Error('MethodNotAllowed', { headers: ['Allow', 'GET, HEAD, PUT, DELETE'] })
}
