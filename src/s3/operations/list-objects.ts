/** Both generations of S3's listing: the same page of the store, told in two vocabularies. */

import { keyBytesMax } from '../../store/model/names.ts'
import type { ListPage, ObjectInfo } from '../../store/model/object-store.ts'
import { decodeContinuationToken, encodeContinuationToken } from '../continuation-token.ts'
import { S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import { listKeysMax } from '../limits.ts'
import type { OperationOf } from '../operation.ts'
import { percentEncode } from '../percent-codec.ts'
import type { Query } from '../query.ts'
import type { S3Service } from '../service.ts'
import { element, s3Namespace } from '../xml.ts'

type ListOperation = OperationOf<'ListObjects' | 'ListObjectsV2'>

interface ListRequest {
  readonly bucket: string
  readonly prefix: string
  readonly delimiter: string
  readonly marker: string
  readonly startAfter: string
  readonly token: string | undefined
  /** Strictly after this key. */
  readonly after: string
  readonly maxKeys: number
  readonly urlEncoded: boolean
}

export async function listObjects(
  { store }: S3Service,
  exchange: Exchange,
  operation: ListOperation,
): Promise<void> {
  const request = parseListRequest(operation)
  const page = await readPage(store, request)
  exchange.respondXml(200, formatListing(operation.name, request, page))
}

async function readPage(store: S3Service['store'], request: ListRequest): Promise<ListPage> {
  const { bucket, prefix, delimiter, after, maxKeys } = request
  if (maxKeys > 0)
    return await store.listObjects({ bucket, prefix, delimiter, after, limit: maxKeys })
  if (!(await store.bucketExists(bucket))) throw new S3Error('NoSuchBucket')
  return { objects: [], commonPrefixes: [], next: undefined }
}

/**
 * A plain listing knows `marker`; it takes the newer parameters too, and tells the newer elements,
 * so that a client may mix them.
 */
function parseListRequest({ bucket, query }: ListOperation): ListRequest {
  const token = query.get('continuation-token')
  const marker = query.get('marker') ?? ''
  const startAfter = query.get('start-after') ?? ''
  const resumed = token === undefined ? '' : decodeContinuationToken(token)
  return {
    bucket,
    prefix: boundedText(query, 'prefix'),
    delimiter: boundedText(query, 'delimiter'),
    marker,
    startAfter,
    token,
    after: resumed || marker || startAfter,
    maxKeys: parseMaxKeys(query.get('max-keys')),
    urlEncoded: isUrlEncoded(query.get('encoding-type')),
  }
}

function boundedText(query: Query, parameter: string): string {
  const text = query.get(parameter) ?? ''
  if (Buffer.byteLength(text) <= keyBytesMax) return text
  throw new S3Error('InvalidArgument', {
    message: `${parameter} is longer than any key: at most ${keyBytesMax} bytes make sense.`,
  })
}

function parseMaxKeys(text: string | undefined): number {
  if (text === undefined || text === '') return listKeysMax
  if (!/^\d{1,10}$/.test(text)) {
    throw new S3Error('InvalidArgument', {
      message: `max-keys must be a whole number from 0 to ${listKeysMax}.`,
    })
  }
  return Math.min(Number(text), listKeysMax)
}

function isUrlEncoded(encoding: string | undefined): boolean {
  if (encoding === undefined || encoding === '') return false
  if (encoding === 'url') return true
  throw new S3Error('InvalidArgument', { message: 'encoding-type can only be url.' })
}

function formatListing(name: ListOperation['name'], request: ListRequest, page: ListPage): string {
  const shown = (text: string): string => (request.urlEncoded ? percentEncode(text) : text)
  const text = (tag: string, value: string): string => element(tag, shown(value))
  const parts = [`<ListBucketResult xmlns="${s3Namespace}">`, element('Name', request.bucket)]
  parts.push(text('Prefix', request.prefix))
  if (request.delimiter !== '') parts.push(text('Delimiter', request.delimiter))
  if (request.urlEncoded) parts.push(element('EncodingType', 'url'))
  if (name === 'ListObjects') parts.push(text('Marker', request.marker))
  if (request.startAfter !== '') parts.push(text('StartAfter', request.startAfter))
  if (request.token !== undefined) parts.push(element('ContinuationToken', request.token))
  parts.push(
    element('KeyCount', page.objects.length + page.commonPrefixes.length),
    element('MaxKeys', request.maxKeys),
    element('IsTruncated', page.next !== undefined),
  )
  if (page.next !== undefined) {
    if (name === 'ListObjects') parts.push(text('NextMarker', page.next))
    parts.push(element('NextContinuationToken', encodeContinuationToken(page.next)))
  }
  for (const info of page.objects) parts.push(formatObject(info, shown))
  for (const prefix of page.commonPrefixes) {
    parts.push(`<CommonPrefixes>${text('Prefix', prefix)}</CommonPrefixes>`)
  }
  parts.push('</ListBucketResult>')
  return parts.join('')
}

function formatObject({ key, meta }: ObjectInfo, name: (text: string) => string): string {
  return (
    '<Contents>' +
    element('Key', name(key)) +
    element('LastModified', new Date(meta.lastModified).toISOString()) +
    element('ETag', `"${meta.etag}"`) +
    element('Size', meta.size) +
    '<StorageClass>STANDARD</StorageClass></Contents>'
  )
}
