/**
 * Hands a request to the engine's thread, and its answer to the client, both as streams that hold each other
 * back. Whoever is cut off on one side is cut off on the other. It must never know what is asked for.
 */

import type { IncomingMessage, OutgoingMessage, ServerResponse } from 'node:http'
import { type ClientRequest, request as sendRequest } from 'node:http'
import { systemClock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { ignoredBodyBytesMax } from '../../s3/limits.ts'
import { lingerThenEnd } from '../../s3/linger.ts'
import { clientHeader } from '../listener/access-log.ts'
import { EngineAgent } from './engine-agent.ts'

/** Idle connections to the engine's thread; it waits longer for them than this side does. */
const idleMax = 256
const idleMs = 20_000

/** What concerns one connection and not the other (RFC 9110, 7.6.1). */
const ownHeaders = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade'],
  // Trailers are for nobody here, and node:http throws where they are announced of what is not chunked.
  'trailer',
])

export class PassOn {
  readonly #logger: Logger
  readonly #agent: EngineAgent

  constructor(options: { readonly socketPath: string; readonly logger: Logger }) {
    const { socketPath, logger } = options
    this.#logger = logger
    this.#agent = new EngineAgent({
      ...{ socketPath, clock: systemClock, maxFreeSockets: idleMax, timeout: idleMs },
    })
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    // Of requests that come one behind the other on a connection, one has one to the engine's thread: they are
    // answered in their order anyhow.
    if (response.socket === null) response.once('socket', () => this.#send(request, response))
    else this.#send(request, response)
  }

  #send(request: IncomingMessage, response: ServerResponse): void {
    const upstream = sendRequest({
      ...{ agent: this.#agent, setHost: false },
      ...{ method: request.method, path: request.url },
    })
    copyHeaders(request.rawHeaders, upstream, ownHeaders)
    upstream.setHeader(clientHeader, request.socket.remoteAddress ?? '')
    let isAnswered = false
    upstream.once('response', (answer) => {
      isAnswered = true
      passBack(answer, request, response)
      answer.once('end', () => {
        // Its body was not wanted, and is not sent any more.
        if (!upstream.writableFinished) upstream.destroy()
      })
    })
    upstream.on('error', (error) => {
      // Of an answer that was there before the end of the body, what came of it says whether it is whole.
      if (response.destroyed || isAnswered || isCutOff(request)) return
      this.#logger.warn({ error: messageOf(error) }, 'A request could not be passed on')
      // Nobody knows what became of it: a cut connection says just that.
      response.destroy()
    })
    response.once('close', () => {
      if (!response.writableFinished) upstream.destroy()
    })
    if (hasBody(request)) sendBody(request, response, upstream)
    else endBare(request, upstream)
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Its client went in the middle of the body. */
function isCutOff({ destroyed, complete }: IncomingMessage): boolean {
  return destroyed && !complete
}

/** HTTP/1.0 knows nothing of it, and would take it for the answer. */
function awaitsContinue({ headers, httpVersion }: IncomingMessage): boolean {
  return headers.expect !== undefined && httpVersion !== '1.0'
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** As it came: node:http would announce a body for a PUT that says nothing of one. */
function endBare({ headers }: IncomingMessage, upstream: ClientRequest): void {
  if (headers['content-length'] === undefined) upstream.removeHeader('content-length')
  upstream.removeHeader('transfer-encoding')
  upstream.end()
}

/**
 * Only once it is asked for, whether the client waits for that or not: who refuses a body closes the connection,
 * and a write to it would take the answer away.
 */
function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  upstream: ClientRequest,
): void {
  upstream.setHeader('expect', '100-continue')
  upstream.once('continue', () => {
    if (awaitsContinue(request) && !response.destroyed) response.writeContinue()
    request.pipe(upstream)
    // A client that goes in the middle of its body leaves one that is not complete.
    request.once('close', () => request.complete || upstream.destroy())
  })
  upstream.flushHeaders()
}

function passBack(
  answer: IncomingMessage,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (response.destroyed) {
    answer.destroy()
    return
  }
  const readsOver = hasShortBody(request)
  const closes = !readsOver && (saysClose(answer) || !request.complete)
  copyHeaders(answer.rawHeaders, response, answerHeaders)
  if (closes) response.setHeader('connection', 'close')
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage)
  // The head of an answer whose body is long in coming, such as a poll's.
  response.flushHeaders()
  answer.pipe(response, { end: false })
  answer.once('end', () => {
    if (request.complete || readsOver) {
      request.resume()
      response.end()
      return
    }
    // The client is still sending what nobody wants, and has not read the answer yet.
    request.unpipe()
    lingerThenEnd(request, response, systemClock)
  })
  answer.once('close', () => answer.complete || response.destroy())
}

/** One that is sooner read, should nobody want it, than a connection is made anew. */
function hasShortBody({ headers }: IncomingMessage): boolean {
  const length = Number(headers['content-length'] ?? 0)
  return headers.expect === undefined && length > 0 && length <= ignoredBodyBytesMax
}

function saysClose({ headers }: IncomingMessage): boolean {
  return headers.connection?.toLowerCase() === 'close'
}

/** How an answer is framed follows from the client's connection. */
const answerHeaders = new Set([...ownHeaders, 'transfer-encoding'])

/** Each name once, with all its values. */
function copyHeaders(
  raw: readonly string[],
  target: OutgoingMessage,
  without: ReadonlySet<string>,
): void {
  const lists = new Map<string, { readonly name: string; readonly values: string[] }>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = [raw[at], raw[at + 1]]
    const lowerCase = name.toLowerCase()
    if (without.has(lowerCase)) continue
    const known = lists.get(lowerCase)
    if (known === undefined) lists.set(lowerCase, { name, values: [value] })
    else known.values.push(value)
  }
  for (const { name, values } of lists.values()) {
    const [only] = values
    target.setHeader(name, values.length === 1 && only !== undefined ? only : values)
  }
}
