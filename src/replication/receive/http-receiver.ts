/**
 * Replication's endpoints as plain `node:http` handlers, to be routed by the server: batches are too
 * large for a JSON framework's body limit. The token is checked before a byte of the body is read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { rethrowAssertion } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { giveBackWhole, isWholeMemory } from '../../base/give-back.ts'
import { handOver } from '../../base/hand-over.ts'
import type { Logger } from '../../base/log.ts'
import type { ByteRange } from '../../store/model/object-store.ts'
import { answerRefusal, type Refusal, refusalFor } from '../http/refusal.ts'
import type { Denial, ReplicationHandler } from '../http/replication-handler.ts'
import { readBody, stallMs, tooLarge, watchedBody } from '../http/request-body.ts'
import { changeHeadBytesMax, frameOverheadBytes } from '../wire/batch-codec.ts'
import { unpacked, unpackedStream, zstdEncoding } from '../wire/compression.ts'
import { BadRangeError, RemoteUnreachableError, TicketGoneError } from '../wire/errors.ts'
import { type LinkTraffic, packedWhereItPays, type WireBytes } from '../wire/link-traffic.ts'
import { PassingBatch } from '../wire/passing-batch.ts'
import {
  decodedLengthHeader,
  documentBytesMax,
  type Inquiry,
  parseCompletionsQuery,
  parseFarewell,
  parseHello,
  replicationPaths,
  ticketBytes,
} from '../wire/protocol.ts'
import type { TicketBook } from '../wire/tickets.ts'
import type { PushedRange } from '../wire/transport.ts'
import type { Receiver } from './receiver.ts'

export interface HttpReceiverOptions {
  readonly receiver: Receiver
  readonly tickets: TicketBook
  readonly batchSize: number
  readonly batchBytes: number
  /** Says who may replicate here, and writes the answer to who may not. Never asked for blobs. */
  readonly authorize: (request: IncomingMessage) => Denial | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** Bytes of batches being read and applied at one time; beyond, senders are told to wait. */
const bytesInFlightMax = 96 * 2 ** 20
/** Larger batches stay in the pieces in which they come, and their memory is given back. */
const wholeBytesMax = 512 * 1024
/** Often enough for whoever gives up after 30 s without a byte. */
const beatMs = 5000
const ticketPattern = new RegExp(`^[0-9a-f]{${ticketBytes * 2}}$`)
const rangePattern = /^bytes=(\d{1,15})-(\d{1,15})$/
const contentRangePattern = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15})$/

export function createHttpReceiver(options: HttpReceiverOptions): ReplicationHandler {
  const handlers = new HttpReceiver(options)
  return (request, response, path) => handlers.handle(request, response, path)
}

class HttpReceiver {
  readonly #options: HttpReceiverOptions
  readonly #batchBytesMax: number
  #bytesInFlight = 0

  constructor(options: HttpReceiverOptions) {
    this.#options = options
    const framing = options.batchSize * (frameOverheadBytes + changeHeadBytesMax)
    this.#batchBytesMax = options.batchBytes * 2 + framing
  }

  handle(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    const handler = this.#handlerOf(request, response, path)
    if (handler === undefined) return false
    handler().catch((error: unknown) => this.#fail(request, response, error))
    return true
  }

  #handlerOf(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): (() => Promise<void>) | undefined {
    if (path.startsWith(replicationPaths.blob)) {
      const ticket = path.slice(replicationPaths.blob.length)
      return () => this.#blob(request, response, ticket)
    }
    switch (path) {
      case replicationPaths.handshake:
        return () => this.#posted(request, response, () => this.#handshake(request, response))
      case replicationPaths.batch:
        return () => this.#posted(request, response, () => this.#batch(request, response))
      case replicationPaths.completions:
        return () => this.#posted(request, response, () => this.#completions(request, response))
      case replicationPaths.farewell:
        return () => this.#posted(request, response, () => this.#farewell(request, response))
      case replicationPaths.digest:
        return () =>
          this.#posted(request, response, () => this.#inquiry('digest', { request, response }))
      case replicationPaths.fetch:
        return () =>
          this.#posted(request, response, () => this.#inquiry('fetch', { request, response }))
      default:
        return undefined
    }
  }

  async #posted(
    request: IncomingMessage,
    response: ServerResponse,
    handle: () => Promise<void>,
  ): Promise<void> {
    if (request.method !== 'POST') {
      response.setHeader('allow', 'POST')
      return this.#refuse(request, response, {
        status: 405,
        code: 'METHOD_NOT_ALLOWED',
        message: 'POST it',
      })
    }
    const denial = this.#options.authorize(request)
    if (denial !== undefined) return this.#refuse(request, response, denial)
    await handle()
  }

  async #handshake(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, { limit: documentBytesMax, clock: this.#options.clock })
    if (this.#refuseRevoked(request, response)) return
    const answer = this.#options.receiver.handshake(parseHello(body.toString()))
    reply(response, 'application/json', Buffer.from(JSON.stringify(answer)))
  }

  async #batch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = Number(request.headers['content-length'] ?? Number.NaN)
    if (!Number.isSafeInteger(sent)) {
      return this.#refuse(request, response, {
        status: 411,
        code: 'LENGTH_REQUIRED',
        message: 'a batch needs a Content-Length',
      })
    }
    const decoded = decodedLengthOf(request)
    const length = Math.max(sent, decoded ?? 0)
    const inFlight = this.#bytesInFlight
    // One alone is always let in: else one that is larger than this bound would be put off for ever.
    const isBusy = inFlight > 0 && inFlight + length > bytesInFlightMax
    if (isBusy && length <= this.#batchBytesMax) {
      return this.#refuse(request, response, {
        status: 503,
        code: 'BUSY',
        message: 'too many batches are being applied at once',
      })
    }
    this.#bytesInFlight += length
    try {
      const limit = this.#batchBytesMax
      if (length > limit) throw tooLarge(length, limit)
      const answer =
        length > wholeBytesMax
          ? await this.#largeBatch(request, response, { sent, decoded })
          : await this.#smallBatch(request, response, decoded)
      if (answer !== undefined) reply(response, 'application/octet-stream', answer)
    } finally {
      this.#bytesInFlight -= length
    }
  }

  async #smallBatch(
    request: IncomingMessage,
    response: ServerResponse,
    decoded: number | undefined,
  ): Promise<Buffer | undefined> {
    const { clock, receiver } = this.#options
    const body = await readBody(request, { limit: wholeBytesMax, clock })
    if (this.#refuseRevoked(request, response)) return undefined
    return await receiver.batch(decoded === undefined ? body : await unpacked(body, decoded))
  }

  async #largeBatch(
    request: IncomingMessage,
    response: ServerResponse,
    length: { readonly sent: number; readonly decoded: number | undefined },
  ): Promise<Buffer | undefined> {
    const { clock, receiver } = this.#options
    const { sent, decoded } = length
    const batch = new PassingBatch()
    if (decoded === undefined) await readPieces(request, { length: sent, clock, batch })
    else {
      const body = await readBody(request, { limit: sent, clock })
      batch.add(await unpacked(body, decoded))
      giveBackWhole(body)
    }
    if (this.#refuseRevoked(request, response)) return undefined
    return await receiver.passingBatch(batch)
  }

  async #completions(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, { limit: documentBytesMax, clock: this.#options.clock })
    const query = parseCompletionsQuery(body.toString())
    const left = new AbortController()
    const leave = (): void => left.abort()
    response.once('close', leave)
    try {
      const answer = await this.#options.receiver.completions(query, left.signal)
      if (this.#refuseRevoked(request, response)) return
      reply(response, 'application/json', Buffer.from(JSON.stringify(answer)))
    } finally {
      response.off('close', leave)
    }
  }

  async #farewell(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, { limit: documentBytesMax, clock: this.#options.clock })
    if (this.#refuseRevoked(request, response)) return
    await this.#options.receiver.farewell(parseFarewell(body.toString()))
    reply(response, 'application/json', Buffer.from('{}'))
  }

  /** Time has passed since the token was looked at, and it may have been revoked meanwhile. */
  #refuseRevoked(request: IncomingMessage, response: ServerResponse): boolean {
    const denial = this.#options.authorize(request)
    if (denial !== undefined) this.#refuse(request, response, denial)
    return denial !== undefined
  }

  /** Reading bytes again can take its time: until there is an answer, spaces show that it is coming. */
  async #inquiry(
    what: Inquiry,
    { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  ): Promise<void> {
    const { clock, receiver } = this.#options
    const body = await readBody(request, { limit: documentBytesMax, clock })
    if (this.#refuseRevoked(request, response)) return
    const contentType = what === 'digest' ? 'application/json' : 'application/octet-stream'
    const answer = receiver.inquire(what, body.toString())
    if (what === 'fetch') return reply(response, contentType, await answer)
    const stopBeating = beatWhile(response, { clock, contentType })
    try {
      const bytes = await answer
      if (!response.headersSent) return reply(response, contentType, bytes)
      response.end(bytes)
    } finally {
      stopBeating()
    }
  }

  async #blob(request: IncomingMessage, response: ServerResponse, ticket: string): Promise<void> {
    switch (request.method) {
      case 'GET':
        if (!ticketPattern.test(ticket)) throw new TicketGoneError('unknown')
        return await this.#pulled(request, response, ticket)
      case 'PUT': {
        // Who pulls shows a ticket that was made for it; who pushes says who it is.
        const denial = this.#options.authorize(request)
        if (denial !== undefined) return this.#refuse(request, response, denial)
        if (!ticketPattern.test(ticket)) throw new TicketGoneError('unknown')
        return await this.#pushed(request, response, ticket)
      }
      default:
        response.setHeader('allow', 'GET, PUT')
        return this.#refuse(request, response, {
          status: 405,
          code: 'METHOD_NOT_ALLOWED',
          message: 'GET or PUT it',
        })
    }
  }

  async #pulled(request: IncomingMessage, response: ServerResponse, ticket: string): Promise<void> {
    const range = parseRange(request.headers.range)
    const { bytes, size, traffic } = this.#options.tickets.read(ticket, range)
    const length = range.end - range.start
    const wanted = String(request.headers['accept-encoding'] ?? '').includes(zstdEncoding)
    const wire = await packedWhereItPays(bytes, { length, wanted, traffic })
    response.writeHead(206, {
      'content-type': 'application/octet-stream',
      ...(wire.isPacked ? { 'content-encoding': zstdEncoding } : { 'content-length': length }),
      'content-range': `bytes ${range.start}-${range.end - 1}/${size}`,
      'cache-control': 'no-store',
    })
    await this.#stream(response, wire, traffic)
    response.end()
  }

  async #pushed(request: IncomingMessage, response: ServerResponse, ticket: string): Promise<void> {
    const range = parseContentRange(request.headers['content-range'])
    const { clock, receiver } = this.#options
    const bytes = watchedBody(request, clock)
    const isPacked = request.headers['content-encoding'] === zstdEncoding
    const plain = isPacked ? unpackedStream(bytes, range.end - range.start) : bytes
    const held = await receiver.push({ ...range, ticket }, plain)
    reply(response, 'application/json', Buffer.from(JSON.stringify({ held })))
  }

  /** One piece at a time; a reader that takes none for 30 s is cut off. */
  async #stream(
    response: ServerResponse,
    { bytes, isPacked }: WireBytes,
    traffic: LinkTraffic,
  ): Promise<void> {
    const left = new AbortController()
    const leave = (): void => left.abort()
    response.once('close', leave)
    try {
      // As it came from the store it is nobody else's.
      const pace = { urgent: false, passing: !isPacked, signal: left.signal }
      for await (const piece of traffic.paced(bytes, pace)) {
        const timer = this.#options.clock.after(stallMs, () => response.destroy())
        try {
          await handOver(response, piece)
        } finally {
          timer.cancel()
        }
        if (response.destroyed) return
      }
    } finally {
      response.off('close', leave)
    }
  }

  #refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
    answerRefusal({ request, response, refusal, clock: this.#options.clock })
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    rethrowAssertion(error)
    const refusal = refusalFor(error)
    if (refusal.status >= 500) {
      this.#options.logger.error(
        { error: messageOf(error), code: refusal.code },
        'A replication request failed',
      )
    }
    if (response.headersSent || response.destroyed) response.destroy()
    else this.#refuse(request, response, refusal)
  }
}

function reply(response: ServerResponse, contentType: string, body: Buffer): void {
  response.writeHead(200, { 'content-type': contentType, 'content-length': body.length })
  response.end(body)
}

/** JSON may begin with any number of spaces. Returns the way to stop. */
function beatWhile(
  response: ServerResponse,
  { clock, contentType }: { readonly clock: Clock; readonly contentType: string },
): () => void {
  const beat = (): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': contentType })
    response.write(' ')
    timer = clock.after(beatMs, beat)
  }
  let timer = clock.after(beatMs, beat)
  return () => timer.cancel()
}

/** @throws RemoteUnreachableError when it stalls or is cut, or is not as long as it was to be */
async function readPieces(
  request: IncomingMessage,
  options: { readonly length: number; readonly clock: Clock; readonly batch: PassingBatch },
): Promise<void> {
  let left = options.length
  for await (const piece of watchedBody(request, options.clock)) {
    left -= piece.length
    options.batch.add(isWholeMemory(piece) ? piece : Buffer.from(piece))
  }
  if (left !== 0) throw new RemoteUnreachableError('the body ended early')
}

function parseRange(header: string | undefined): ByteRange {
  const match = rangePattern.exec(header ?? '')
  if (match === null) throw new BadRangeError('a pull names one range of bytes, both ends')
  return { start: Number(match[1]), end: Number(match[2]) + 1 }
}

/** With a star in place of the range nothing is brought, and asked how many bytes are here. */
function parseContentRange(header: string | undefined): Omit<PushedRange, 'ticket'> {
  const match = contentRangePattern.exec(header ?? '')
  if (match === null) throw new BadRangeError('a push names its range of bytes, and their number')
  const [, first, last, size] = match
  if (first === undefined || last === undefined) return { start: 0, end: 0, size: Number(size) }
  return { start: Number(first), end: Number(last) + 1, size: Number(size) }
}

/** How many bytes a batch has once it is decoded; undefined when it came as it is. */
function decodedLengthOf({ headers }: IncomingMessage): number | undefined {
  const encoding = headers['content-encoding']
  if (encoding === undefined) return undefined
  const length = String(headers[decodedLengthHeader] ?? '')
  if (encoding === zstdEncoding && /^\d{1,15}$/.test(length)) return Number(length)
  throw new MalformedBytesError(
    `a batch that is encoded is so as ${zstdEncoding}, with its length in ${decodedLengthHeader}`,
  )
}
