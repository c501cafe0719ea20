import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer as readBody } from 'node:stream/consumers'

export interface TinyObject {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

type Fault = (request: IncomingMessage, response: ServerResponse) => boolean

/** Just enough of S3 in memory to test clients against, with a seam for faults. */
export class TinyS3Server {
  readonly buckets = new Map<string, Map<string, TinyObject>>()
  readonly requests: string[] = []
  readonly authorizations = new Set<string | undefined>()
  /** Answers a request itself when it returns true. */
  fault: Fault = () => false
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
  }

  static async start(): Promise<TinyS3Server> {
    const site = new TinyS3Server()
    site.#server.listen(0, '127.0.0.1')
    await once(site.#server, 'listening')
    return site
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`)
    this.authorizations.add(request.headers.authorization)
    if (this.fault(request, response)) {
      request.resume()
      return
    }
    const [path = '', search] = (request.url ?? '').split('?')
    const [, bucket = '', ...rest] = path.split('/').map(decodeURIComponent)
    if (path === '/') return sendXml(response, this.#bucketsXml())
    if (rest.length === 0) return this.#bucket(request, response, { bucket, search })
    await this.#object(request, response, { bucket, key: rest.join('/') })
  }

  async #object(
    request: IncomingMessage,
    response: ServerResponse,
    { bucket, key }: { bucket: string; key: string },
  ): Promise<void> {
    const objects = this.buckets.get(bucket) ?? new Map<string, TinyObject>()
    if (request.method === 'PUT') {
      this.buckets.set(bucket, objects)
      const body = await readBody(request)
      const kept = Object.entries(request.headers).filter(([name]) =>
        /^(content-type|cache-control|x-amz-meta-.*)$/.test(name),
      )
      const headers = Object.fromEntries(kept) as Record<string, string>
      objects.set(key, { body, headers })
      response.setHeader('etag', etagOf(body)).end()
      return
    }
    const found = objects.get(key)
    if (request.method === 'DELETE') {
      objects.delete(key)
      response.writeHead(204).end()
    } else if (found === undefined) {
      sendError(response, 404, 'NoSuchKey')
    } else {
      const { body, headers } = found
      response.writeHead(200, { ...headers, etag: etagOf(body), 'content-length': body.length })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
  }

  #bucket(
    request: IncomingMessage,
    response: ServerResponse,
    { bucket, search }: { bucket: string; search: string | undefined },
  ): void {
    const objects = this.buckets.get(bucket)
    if (request.method === 'PUT') {
      if (objects === undefined) this.buckets.set(bucket, new Map())
      response.end()
    } else if (objects === undefined) {
      sendError(response, 404, 'NoSuchBucket')
    } else if (request.method === 'DELETE') {
      if (objects.size === 0 && this.buckets.delete(bucket)) response.writeHead(204).end()
      else sendError(response, 409, 'BucketNotEmpty')
    } else if (request.method === 'HEAD') {
      response.end()
    } else {
      sendXml(response, listXml(objects, new URLSearchParams(search)))
    }
  }

  #bucketsXml(): string {
    const names = [...this.buckets.keys()].map((name) => `<Bucket><Name>${name}</Name></Bucket>`)
    return `<ListAllMyBucketsResult><Buckets>${names.join('')}</Buckets></ListAllMyBucketsResult>`
  }
}

function listXml(objects: ReadonlyMap<string, TinyObject>, query: URLSearchParams): string {
  const after = query.get('continuation-token') ?? ''
  const limit = Number(query.get('max-keys') ?? 1000)
  const keys = [...objects.keys()]
    .filter((key) => key > after && key.startsWith(query.get('prefix') ?? ''))
    .sort()
  const page = keys.slice(0, limit)
  const entries = page.map((key) => {
    const body = objects.get(key)?.body ?? Buffer.alloc(0)
    const etag = etagOf(body).replaceAll('"', '&quot;')
    return `<Contents><Key>${encodeURIComponent(key)}</Key><ETag>${etag}</ETag><Size>${body.length}</Size></Contents>`
  })
  const more = keys.length > page.length
  const token = more ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : ''
  return `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType><IsTruncated>${more}</IsTruncated>${token}${entries.join('')}</ListBucketResult>`
}

function sendXml(response: ServerResponse, xml: string): void {
  response.setHeader('content-type', 'application/xml').end(xml)
}

export function sendError(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'x-amz-request-id': 'request-7' })
  response.end(`<Error><Code>${code}</Code><Message>because &lt;so&gt;</Message></Error>`)
}

function etagOf(body: Buffer): string {
  return `"${createHash('md5').update(body).digest('hex')}"`
}
