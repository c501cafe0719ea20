/** What is stored of an upload's headers, and how it comes back with the object. */
import type { IncomingHttpHeaders } from 'node:http'
import type { ObjectMeta } from '../store/model/mutation.ts'
import { type HeaderList, S3Error } from './errors.ts'
import { formatHttpDate } from './http-date.ts'
import { userMetadataBytesMax } from './limits.ts'
import type { Query } from './query.ts'

/** Lower-case name, name on the wire, and the query parameter that overrides it. */
const contentHeaders = [
  ['content-type', 'Content-Type', 'response-content-type'],
  ['cache-control', 'Cache-Control', 'response-cache-control'],
  ['content-disposition', 'Content-Disposition', 'response-content-disposition'],
  ['content-encoding', 'Content-Encoding', 'response-content-encoding'],
  ['content-language', 'Content-Language', 'response-content-language'],
  ['expires', 'Expires', 'response-expires'],
] as const

const defaultContentType = 'application/octet-stream'
const userPrefix = 'x-amz-meta-'
const nonAscii = /[^\0-\x7f]/
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export interface StoredHeaders {
  readonly headers: Readonly<Record<string, string>>
  readonly userMetadata: Readonly<Record<string, string>>
}

/** @throws S3Error InvalidArgument when a value is not UTF-8, MetadataTooLarge */
export function readStoredHeaders(incoming: IncomingHttpHeaders): StoredHeaders {
  const headers: Record<string, string> = {}
  for (const [name] of contentHeaders) {
    const value = incoming[name]
    if (typeof value === 'string') headers[name] = fromWire(name, value)
  }
  headers['content-type'] ??= defaultContentType
  return { headers, userMetadata: readUserMetadata(incoming) }
}

function readUserMetadata(incoming: IncomingHttpHeaders): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null)
  let bytes = 0
  for (const header in incoming) {
    if (!header.startsWith(userPrefix)) continue
    const value = fromWire(header, String(incoming[header]))
    const name = header.slice(userPrefix.length)
    metadata[name] = value
    bytes += name.length + Buffer.byteLength(value)
  }
  if (bytes > userMetadataBytesMax) throw new S3Error('MetadataTooLarge')
  return metadata
}

/** The headers of a GET or HEAD, without length and range. */
export function objectHeaders(meta: ObjectMeta, query: Query): HeaderList {
  const list: HeaderList = [
    'ETag',
    `"${meta.etag}"`,
    'Last-Modified',
    formatHttpDate(meta.lastModified),
    'Accept-Ranges',
    'bytes',
  ]
  for (const [name, wireName, parameter] of contentHeaders) {
    const value =
      (query.size === 0 ? undefined : overrideOf(query, parameter)) ?? meta.headers[name]
    if (value !== undefined) list.push(wireName, toWire(value))
  }
  for (const name in meta.userMetadata) {
    list.push(userPrefix + name, toWire(meta.userMetadata[name] ?? ''))
  }
  return list
}

/** The headers of a 304: what a cache needs to keep its entry fresh (RFC 9110, 15.4.5). */
export function notModifiedHeaders(meta: ObjectMeta): HeaderList {
  const list: HeaderList = [
    'ETag',
    `"${meta.etag}"`,
    'Last-Modified',
    formatHttpDate(meta.lastModified),
  ]
  const { 'cache-control': cacheControl, expires } = meta.headers
  if (cacheControl !== undefined) list.push('Cache-Control', toWire(cacheControl))
  if (expires !== undefined) list.push('Expires', toWire(expires))
  return list
}

function overrideOf(query: Query, parameter: string): string | undefined {
  const value = query.get(parameter)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not get into a header
  if (value !== undefined && /[\0-\x08\x0a-\x1f\x7f]/.test(value)) {
    throw new S3Error('InvalidArgument', { message: `${parameter} holds control characters.` })
  }
  return value
}

/** node:http hands bytes over as Latin-1; what is stored is text. */
function fromWire(name: string, value: string): string {
  if (!nonAscii.test(value)) return value
  try {
    return strictUtf8.decode(Buffer.from(value, 'latin1'))
  } catch (cause) {
    throw new S3Error('InvalidArgument', { message: `The header ${name} is not UTF-8.`, cause })
  }
}

/** The same bytes again. */
function toWire(value: string): string {
  return nonAscii.test(value) ? Buffer.from(value, 'utf8').toString('latin1') : value
}
