/**
 * Bodies of requests as they come in: bounded, and cut off when nothing comes any more. Only progress has
 * a deadline.
 */
import type { IncomingMessage } from 'node:http'
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { BatchTooLargeError, RemoteUnreachableError } from '../wire/errors.ts'

/** Without a byte in either direction for this long, a request has failed. */
export const stallMs = 30_000

/**
 * The whole body in one buffer.
 *
 * @throws BatchTooLargeError, RemoteUnreachableError when it stalls or is cut
 */
export async function readBody(
  request: IncomingMessage,
  options: { readonly limit: number; readonly clock: Clock },
): Promise<Buffer> {
  const { limit, clock } = options
  const announced = Number(request.headers['content-length'] ?? Number.NaN)
  if (announced > limit) throw tooLarge(announced, limit)
  const whole = Number.isSafeInteger(announced) ? Buffer.allocUnsafe(announced) : undefined
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of watchedBody(request, clock)) {
    if (length + piece.length > limit) throw tooLarge(length + piece.length, limit)
    if (whole === undefined) pieces.push(piece)
    else whole.set(piece, length)
    length += piece.length
  }
  if (whole === undefined) return Buffer.concat(pieces, length)
  if (length === whole.length) return whole
  throw new RemoteUnreachableError('the body ended early')
}

/** The body of a request. @throws RemoteUnreachableError when it stalls or is cut */
export async function* watchedBody(
  request: IncomingMessage,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  const stall = (): void => void request.destroy(new Error('the body stalled'))
  let watchdog = clock.after(stallMs, stall)
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      watchdog.cancel()
      yield piece
      watchdog = clock.after(stallMs, stall)
    }
  } catch (cause) {
    rethrowAssertion(cause)
    throw new RemoteUnreachableError('the sender was cut off in its request', { cause })
  } finally {
    watchdog.cancel()
  }
}

export function tooLarge(bytes: number, limit: number): BatchTooLargeError {
  return new BatchTooLargeError(`a request of ${bytes} bytes exceeds the ${limit} allowed here`, {
    facts: { bytes, limit },
    hint: 'Give both sites the same replication.batch_bytes.',
  })
}
