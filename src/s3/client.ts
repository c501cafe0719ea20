/**
 * A small S3 client for one site, shared by bench and demo: what those need, over a bounded pool of
 * connections, with bodies streamed both ways. It follows no redirects and reads no answer without
 * a limit. It knows nothing of what the site is made of; the wire is all they share.
 */
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import { messageOf, systemCodeOf } from '../base/errors.ts'
import {
  S3AddressError,
  S3AnswerError,
  type S3ErrorAnswer,
  S3ResponseError,
  S3UnreachableError,
} from './client-errors.ts'
import { childrenNamed, findText, parseXml, requireText, type XmlElement } from './client-xml.ts'

export interface S3ClientOptions {
  /** Scheme, host and port of the site: `http://127.0.0.1:8080`. */
  readonly url: string
  /** Sent as a Bearer token with every request. */
  readonly token?: string
  /** PEM each: whom to trust, and what to show, where the site speaks https. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** How many requests run at once; further ones wait. */
  readonly connections?: number
  /** How long the site may be silent before a request counts as failed. */
  readonly silenceMsMax?: number
}

export interface ObjectAddress {
  readonly bucket: string
  readonly key: string
  readonly signal?: AbortSignal
}

export interface PutRequest extends ObjectAddress {
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
  /** Exactly as many bytes as `body` has. */
  readonly contentLength: number
  /** Content headers and `x-amz-meta-*`. */
  readonly headers?: Readonly<Record<string, string>>
}

export type ResponseHeaders = Readonly<Record<string, string>>

export interface ObjectHead {
  /** Names in lower case. */
  readonly headers: ResponseHeaders
  /** Without quotes. */
  readonly etag: string
  readonly contentLength: number
}

export interface ObjectBody extends ObjectHead {
  /** Must be read to its end or destroyed. */
  readonly body: Readable
}

export interface ObjectDigest extends ObjectHead {
  /** Of the bytes that came, in hexadecimal. */
  readonly sha256: string
}

export interface ListRequest {
  readonly bucket: string
  readonly prefix?: string
  readonly delimiter?: string
  readonly continuationToken?: string
  readonly maxKeys?: number
  readonly signal?: AbortSignal
}

export interface ListedObject {
  readonly key: string
  readonly etag: string
  readonly size: number
}

export interface ListAnswer {
  readonly objects: readonly ListedObject[]
  readonly commonPrefixes: readonly string[]
  /** For the next page; undefined at the end. */
  readonly continuationToken: string | undefined
}

interface Outgoing {
  readonly method: 'GET' | 'PUT' | 'HEAD' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal | undefined
}

/** A page of 1000 keys of 1024 bytes, all of them escaped, stays below this. */
const documentBytesMax = 16 * 2 ** 20
const errorBytesMax = 64 * 2 ** 10

export class S3Client {
  readonly url: string
  readonly #pool: Pool
  readonly #authorization: Readonly<Record<string, string>>

  /** @throws S3AddressError */
  constructor(options: S3ClientOptions) {
    this.url = originOf(options.url)
    const silenceMsMax = options.silenceMsMax ?? 60_000
    this.#pool = new Pool(this.url, {
      connections: options.connections ?? 16,
      pipelining: 1,
      headersTimeout: silenceMsMax,
      bodyTimeout: silenceMsMax,
      allowH2: false,
      ...(options.tls === undefined ? {} : { connect: options.tls }),
    })
    this.#authorization =
      options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }
  }

  /** Stores an object and returns its ETag, without quotes, once the site has answered for it. */
  async putObject(request: PutRequest): Promise<string> {
    const answer = await this.#send({
      method: 'PUT',
      path: objectPath(request),
      headers: { ...request.headers, 'content-length': String(request.contentLength) },
      body: request.body,
      signal: request.signal,
    })
    await answer.body.dump()
    return unquote(firstOf(answer.headers.etag))
  }

  /** @throws S3ResponseError with status 404 when there is no such object */
  async getObject(address: ObjectAddress): Promise<ObjectBody> {
    const answer = await this.#send({
      method: 'GET',
      path: objectPath(address),
      signal: address.signal,
    })
    return { ...headOf(answer), body: answer.body }
  }

  /** Reads an object to its end and keeps nothing but its hash. */
  async digestObject(address: ObjectAddress): Promise<ObjectDigest> {
    const { body, ...head } = await this.getObject(address)
    const hash = createHash('sha256')
    let length = 0
    try {
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        hash.update(chunk)
        length += chunk.length
      }
    } catch (cause) {
      throw failureOf(cause, `GET ${objectPath(address)}`, address.signal)
    }
    if (length !== head.contentLength) {
      throw new S3AnswerError(
        `GET ${objectPath(address)} brought ${length} of ${head.contentLength} bytes`,
      )
    }
    return { ...head, sha256: hash.digest('hex') }
  }

  /** Undefined when there is no such object. */
  async headObject(address: ObjectAddress): Promise<ObjectHead | undefined> {
    return undefinedWhenMissing(async () => {
      const answer = await this.#send({
        method: 'HEAD',
        path: objectPath(address),
        signal: address.signal,
      })
      await answer.body.dump()
      return headOf(answer)
    })
  }

  async deleteObject(address: ObjectAddress): Promise<void> {
    const { signal } = address
    await this.#sendAndForget({ method: 'DELETE', path: objectPath(address), signal })
  }

  async createBucket(bucket: string, signal?: AbortSignal): Promise<void> {
    await this.#sendAndForget({ method: 'PUT', path: bucketPath(bucket), signal })
  }

  async bucketExists(bucket: string, signal?: AbortSignal): Promise<boolean> {
    const found = await undefinedWhenMissing(async () => {
      await this.#sendAndForget({ method: 'HEAD', path: bucketPath(bucket), signal })
      return true
    })
    return found ?? false
  }

  /** The bucket must be empty. */
  async deleteBucket(bucket: string, signal?: AbortSignal): Promise<void> {
    await this.#sendAndForget({ method: 'DELETE', path: bucketPath(bucket), signal })
  }

  async listBuckets(signal?: AbortSignal): Promise<readonly string[]> {
    const root = await this.#document({ method: 'GET', path: '/', signal })
    const [buckets] = childrenNamed(root, 'Buckets')
    if (root.name !== 'ListAllMyBucketsResult' || buckets === undefined) {
      throw new S3AnswerError(`${this.url} answered a list of buckets with <${root.name}>`)
    }
    return childrenNamed(buckets, 'Bucket').map((bucket) => requireText(bucket, 'Name'))
  }

  /** One page of ListObjectsV2. @throws S3ResponseError with status 404 when there is no such bucket */
  async listPage(request: ListRequest): Promise<ListAnswer> {
    const query = new URLSearchParams({ 'list-type': '2', 'encoding-type': 'url' })
    if (request.prefix !== undefined) query.set('prefix', request.prefix)
    if (request.delimiter !== undefined) query.set('delimiter', request.delimiter)
    if (request.maxKeys !== undefined) query.set('max-keys', String(request.maxKeys))
    if (request.continuationToken !== undefined) {
      query.set('continuation-token', request.continuationToken)
    }
    // A plus sign means a space to some servers and itself to others; %20 means one thing to all.
    const search = query.toString().replaceAll('+', '%20')
    const path = `${bucketPath(request.bucket)}?${search}`
    return listAnswerOf(await this.#document({ method: 'GET', path, signal: request.signal }))
  }

  /** Every object of a bucket (or of a prefix), in key order, page by page. */
  async *listObjects(
    request: Omit<ListRequest, 'continuationToken'>,
  ): AsyncGenerator<ListedObject> {
    let next: string | undefined
    do {
      const page: ListAnswer = await this.listPage(
        next === undefined ? request : { ...request, continuationToken: next },
      )
      yield* page.objects
      if (page.continuationToken !== undefined && page.continuationToken === next) {
        throw new S3AnswerError(`the list of ${request.bucket} does not advance`)
      }
      next = page.continuationToken
    } while (next !== undefined)
  }

  /** Breaks off what is still running and closes the connections. */
  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  async #sendAndForget(outgoing: Outgoing): Promise<void> {
    const answer = await this.#send(outgoing)
    await answer.body.dump()
  }

  async #document(outgoing: Outgoing): Promise<XmlElement> {
    const answer = await this.#send(outgoing)
    try {
      return parseXml(await boundedText(answer.body, documentBytesMax))
    } catch (cause) {
      throw failureOf(cause, `${outgoing.method} ${outgoing.path}`, outgoing.signal)
    }
  }

  /** @throws S3ResponseError for every answer that is not 2xx */
  async #send(outgoing: Outgoing): Promise<Dispatcher.ResponseData> {
    const name = `${outgoing.method} ${outgoing.path}`
    const request: Dispatcher.RequestOptions = {
      method: outgoing.method,
      path: outgoing.path,
      headers: { ...this.#authorization, ...outgoing.headers },
      body: (outgoing.body ?? null) as Dispatcher.RequestOptions['body'] & object,
      signal: outgoing.signal ?? null,
    }
    const answer = await this.#pool.request(request).catch((cause: unknown) => {
      throw failureOf(cause, `${name} at ${this.url}`, outgoing.signal)
    })
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer
    throw new S3ResponseError(name, await errorAnswerOf(answer))
  }
}

function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const plain = parsed?.pathname === '/' && parsed.search === '' && parsed.username === ''
  if (parsed === undefined || !plain || !/^https?:$/.test(parsed.protocol)) {
    throw new S3AddressError(`"${url}" is not the address of a site`, {
      hint: 'give scheme, host and port, as in http://127.0.0.1:8080',
    })
  }
  return parsed.origin
}

function bucketPath(bucket: string): string {
  return `/${encodeURIComponent(bucket)}`
}

function objectPath(address: ObjectAddress): string {
  return `${bucketPath(address.bucket)}/${address.key.split('/').map(encodeURIComponent).join('/')}`
}

function unquote(etag: string): string {
  return etag.replaceAll('"', '')
}

function firstOf(header: string | string[] | undefined): string {
  return (Array.isArray(header) ? header[0] : header) ?? ''
}

function headOf(answer: Dispatcher.ResponseData): ObjectHead {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  const contentLength = Number(headers['content-length'] ?? Number.NaN)
  if (!Number.isSafeInteger(contentLength)) {
    answer.body.on('error', () => undefined).destroy()
    throw new S3AnswerError('the site answered without a Content-Length')
  }
  return { headers, etag: unquote(headers.etag ?? ''), contentLength }
}

function listAnswerOf(root: XmlElement): ListAnswer {
  if (root.name !== 'ListBucketResult') {
    throw new S3AnswerError(`a list was answered with <${root.name}>`)
  }
  const encoded = findText(root, 'EncodingType') === 'url'
  const decode = (text: string): string => (encoded ? decodeListed(text) : text)
  const truncated = requireText(root, 'IsTruncated') === 'true'
  return {
    objects: childrenNamed(root, 'Contents').map((entry) => ({
      key: decode(requireText(entry, 'Key')),
      etag: unquote(requireText(entry, 'ETag')),
      size: sizeOf(requireText(entry, 'Size')),
    })),
    commonPrefixes: childrenNamed(root, 'CommonPrefixes').map((entry) =>
      decode(requireText(entry, 'Prefix')),
    ),
    continuationToken: truncated ? requireText(root, 'NextContinuationToken') : undefined,
  }
}

function decodeListed(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', '%20'))
  } catch (cause) {
    throw new S3AnswerError(`a list has the undecodable key "${text}"`, { cause })
  }
}

function sizeOf(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw new S3AnswerError(`a list has the size "${text}"`)
  return Number(text)
}

async function boundedText(body: Readable, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > bytesMax) throw new S3AnswerError(`an answer is longer than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function errorAnswerOf(answer: Dispatcher.ResponseData): Promise<S3ErrorAnswer> {
  const requestId = firstOf(answer.headers['x-amz-request-id']) || undefined
  const bare = { status: answer.statusCode, s3Code: undefined, message: undefined, requestId }
  try {
    const root = parseXml(await boundedText(answer.body, errorBytesMax))
    return {
      status: answer.statusCode,
      s3Code: findText(root, 'Code'),
      message: findText(root, 'Message'),
      requestId: requestId ?? findText(root, 'RequestId'),
    }
  } catch {
    // HEAD answers have no body, and a proxy's have no S3 document: the status says enough.
    return bare
  }
}

/** What a request that did not get through is reported as; a wanted abort stays what it is. */
function failureOf(cause: unknown, request: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || cause instanceof S3AnswerError) return cause
  const reason = systemCodeOf(cause) ?? messageOf(cause)
  return new S3UnreachableError(`${request} got no whole answer: ${reason}`, {
    hint: 'check that the site runs and that its address is right',
    facts: { reason },
    cause,
  })
}

async function undefinedWhenMissing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof S3ResponseError && error.status === 404) return undefined
    throw error
  }
}
