/** Saying no over HTTP: which status and code a failure has, and how the answer reaches its reader. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Clock } from '../../base/clock.ts'
import { ComioError, messageOf } from '../../base/errors.ts'
import {
  BadRangeError,
  BadRemoteUrlError,
  BatchTooLargeError,
  HandshakeRequiredError,
  LinkEndedError,
  ObjectGoneError,
  ProtocolMismatchError,
  RemoteUnreachableError,
  SelfReplicationError,
  SiteIdTakenError,
  TicketGoneError,
} from '../wire/errors.ts'
import { ticketEndCodes } from './http-blob-transport.ts'

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly hint?: string | undefined
}

export interface RefusedExchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly refusal: Refusal
  readonly clock: Clock
}

/** Thrown away of a body that nobody wants, before the connection is closed on the sender. */
const discardBytesMax = 64 * 2 ** 20
const discardMs = 5000

/**
 * Answers with a refusal. A body that is still on its way is thrown away for a moment, within bounds:
 * closing at once would reset the connection, and the reset overtakes the answer.
 */
export function answerRefusal({ request, response, refusal, clock }: RefusedExchange): void {
  const { status, code, message, hint } = refusal
  const error = hint === undefined ? { code, message } : { code, message, hint }
  const body = Buffer.from(JSON.stringify({ error }))
  const unread = announcesBody(request) && !request.complete
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': body.length,
    ...(unread ? { connection: 'close' } : {}),
  })
  if (!unread) {
    response.end(body)
    return
  }
  // The whole answer leaves now; end() is what closes the socket, so it waits.
  response.write(body)
  const timer = clock.after(discardMs, end)
  let left = discardBytesMax
  function end(): void {
    timer.cancel()
    request.off('data', discard)
    if (!response.writableEnded) response.end()
  }
  function discard(bytes: Buffer): void {
    left -= bytes.length
    if (left <= 0) end()
  }
  request.on('data', discard)
  request.once('end', end)
  request.once('error', end)
  response.once('close', end)
  request.resume()
}

function announcesBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length']
  return request.headers['transfer-encoding'] !== undefined || (length ?? '0') !== '0'
}

/** How a failure is told to the other end. */
export function refusalFor(error: unknown): Refusal {
  const status = statusOf(error)
  const hint = error instanceof ComioError ? error.hint : undefined
  if (error instanceof TicketGoneError) {
    return { status, code: ticketEndCodes[error.end], message: error.message, hint }
  }
  const code = error instanceof ComioError ? error.code : 'INTERNAL_ERROR'
  return { status, code, message: messageOf(error), hint }
}

function statusOf(error: unknown): number {
  if (error instanceof MalformedBytesError || error instanceof BadRemoteUrlError) return 400
  if (error instanceof HandshakeRequiredError) return 409
  if (error instanceof BatchTooLargeError) return 413
  if (error instanceof BadRangeError) return 416
  if (error instanceof TicketGoneError) return error.end === 'unknown' ? 404 : 410
  if (error instanceof ObjectGoneError) return 410
  if (error instanceof RemoteUnreachableError) return 408
  const isWrongPeer =
    error instanceof ProtocolMismatchError ||
    error instanceof SelfReplicationError ||
    error instanceof LinkEndedError ||
    error instanceof SiteIdTakenError
  if (isWrongPeer) return 421
  if (!(error instanceof ComioError)) return 500
  if (error.code === 'STORAGE_FULL' || error.code === 'INDEX_FULL') return 507
  // The store's own trouble is this site's state, not the batch's fault.
  return 503
}
