import type { IncomingMessage, ServerResponse } from 'node:http'
import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import type { HeaderList, S3Error } from './errors.ts'
import { ignoredBodyBytesMax } from './limits.ts'
import { lingerThenEnd } from './linger.ts'
import type { S3Operation } from './operation.ts'
import { element, xmlDeclaration } from './xml.ts'

export interface ExchangeOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly clock: Clock
}

/** One request and its answer. Every answer of the data plane leaves through here. */
export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly startedAt: number
  /** What Content-Length says; undefined for a chunked body; 0 without one. */
  readonly bodyBytes: number | undefined
  /** Set once the request is understood. */
  operation: S3Operation | undefined
  status = 0
  bytesIn = 0
  bytesOut = 0
  readonly #clock: Clock
  /** The client waits for `100 Continue` before it sends its body. */
  #continueAwaited: boolean
  #gone: AbortController | undefined
  #hangsUp = false

  constructor(options: ExchangeOptions) {
    const { headers } = options.request
    this.request = options.request
    this.response = options.response
    this.requestId = options.requestId
    this.#clock = options.clock
    this.startedAt = options.clock.monotonic()
    this.bodyBytes = bodyBytesOf(options.request)
    this.#continueAwaited =
      headers.expect !== undefined && this.bodyBytes !== 0 && options.request.httpVersion !== '1.0'
  }

  get expectsContinue(): boolean {
    return this.#continueAwaited
  }

  /** True when nobody is there any more to read an answer. */
  get clientGone(): boolean {
    return this.response.destroyed
  }

  /** Aborts when the connection closes before the answer is complete. */
  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      const gone = new AbortController()
      this.#gone = gone
      if (this.response.destroyed) gone.abort()
      else this.response.once('close', () => this.response.writableFinished || gone.abort())
    }
    return this.#gone.signal
  }

  /** Lets a waiting client send: to be called when the body is wanted, and not before. */
  askForBody(): void {
    if (!this.#continueAwaited) return
    this.#continueAwaited = false
    if (!this.clientGone) this.response.writeContinue()
  }

  /** Whoever stands still in the middle of a body is not waited for any longer. */
  hangUpAfterAnswer(): void {
    this.#hangsUp = true
  }

  /** The whole answer in one go. A HEAD request gets the same without the body. */
  respond(status: number, headers: HeaderList, body?: string | Buffer): void {
    const bytes = body === undefined ? 0 : Buffer.byteLength(body)
    if (body !== undefined || status === 200) headers.push('Content-Length', String(bytes))
    const close = this.#mustClose()
    this.begin(status, headers, close)
    const sent = this.request.method === 'HEAD' ? undefined : body
    if (sent !== undefined) this.bytesOut += bytes
    if (!close) {
      this.response.end(sent)
      return
    }
    if (sent === undefined) this.response.flushHeaders()
    else this.response.write(sent)
    lingerThenEnd(this.request, this.response, this.#clock)
  }

  respondXml(status: number, body: string, headers: HeaderList = []): void {
    headers.push('Content-Type', 'application/xml')
    this.respond(status, headers, xmlDeclaration + body)
  }

  /** Status line and headers of an answer whose body the caller writes. */
  begin(status: number, headers: HeaderList, close = this.#mustClose()): void {
    assert(!this.response.headersSent, 'an exchange is answered once')
    headers.push('x-amz-request-id', this.requestId)
    if (close) headers.push('Connection', 'close')
    this.status = status
    this.response.writeHead(status, headers)
  }

  /** The answer of an error, as S3 words it. */
  refuse(error: S3Error): void {
    const body =
      '<Error>' +
      element('Code', error.s3Code) +
      element('Message', error.message) +
      element('Resource', this.#resource()) +
      element('RequestId', this.requestId) +
      '</Error>'
    this.respondXml(error.status, body, [...error.headers])
  }

  #resource(): string {
    const operation = this.operation
    if (operation === undefined) return (this.request.url ?? '').split('?', 1)[0] ?? ''
    if (!('bucket' in operation)) return '/'
    return 'key' in operation && operation.key !== undefined
      ? `/${operation.bucket}/${operation.key}`
      : `/${operation.bucket}`
  }

  /** A short rest of a body is read over by node:http; for a long or unknown one the connection goes. */
  #mustClose(): boolean {
    if (this.bodyBytes === 0 || this.request.complete) return false
    return (
      this.#hangsUp ||
      this.#continueAwaited ||
      this.bodyBytes === undefined ||
      this.bodyBytes - this.bytesIn > ignoredBodyBytesMax
    )
  }
}

function bodyBytesOf(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  const length = request.headers['content-length']
  return length === undefined ? 0 : Number(length)
}
