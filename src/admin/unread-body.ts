/**
 * Answering a request whose body nobody wants to read. Closing a socket that still holds unread
 * bytes makes the kernel reset it, and the reset overtakes the answer: the client would see
 * "connection reset" in place of 401. So the answer is written in full, what the client is still
 * sending is thrown away for a moment, within bounds, and only then does the connection close.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock } from '../base/clock.ts'
import { lingerThenEnd } from '../s3/linger.ts'

export interface WholeAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Writes `answer` and closes the connection unless the request has been read to its end. */
export function answerUnread(
  request: IncomingMessage,
  response: ServerResponse,
  answer: WholeAnswer,
): void {
  const unread = announcesBody(request) && !request.complete
  response.writeHead(answer.status, {
    ...answer.headers,
    'content-length': Buffer.byteLength(answer.body),
    ...(unread ? { connection: 'close' } : {}),
  })
  if (!unread || request.headers.expect !== undefined) {
    response.end(answer.body)
    return
  }
  // The whole answer leaves now; end() is what closes the socket, so it waits.
  if (request.method === 'HEAD' || answer.body === '') response.flushHeaders()
  else response.write(answer.body)
  lingerThenEnd(request, response, systemClock)
}

function announcesBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length']
  return request.headers['transfer-encoding'] !== undefined || (length ?? '0') !== '0'
}
