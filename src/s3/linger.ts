import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../base/clock.ts'
import { lingerBytesMax, lingerMsMax, lingerSilenceMs } from './limits.ts'

/**
 * Ends a response whose request body is still on its way. Closing at once would answer the bytes in
 * flight with a reset, which takes the answer away from a client that has not read it yet. So the
 * answer is out already, and what comes is thrown away until the client closes, falls silent or has
 * sent too much. The connection is not used again.
 */
export function lingerThenEnd(
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
): void {
  const startedAt = clock.monotonic()
  let bytes = 0
  let bytesSeen = 0
  let timer = clock.after(lingerSilenceMs, check)
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > lingerBytesMax) end()
  }
  function end(): void {
    timer.cancel()
    request.off('data', onData)
    request.off('end', end)
    response.off('close', end)
    if (!response.writableEnded) response.end()
  }
  function check(): void {
    const over = bytes === bytesSeen || clock.monotonic() - startedAt > lingerMsMax
    bytesSeen = bytes
    if (over) end()
    else timer = clock.after(lingerSilenceMs, check)
  }
  request.on('data', onData)
  request.on('end', end)
  response.on('close', end)
  request.resume()
}
