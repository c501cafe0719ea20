/** One line for every answered request, for whoever looks for one; at level debug only. */
import type { IncomingMessage } from 'node:http'
import type { Logger } from '../../base/log.ts'
import { replicationPaths } from '../../replication/wire/protocol.ts'
import type { RequestHandler } from './listener.ts'

/** Who asked, on what another thread has passed on. */
export const clientHeader = 'x-comio-client'

/** Costs a listener and a line a request, so it is put in place only where it will be read. */
export function withAccessLog(handle: RequestHandler, logger: Logger): RequestHandler {
  return (request, response) => {
    const startedAt = performance.now()
    // Kept before anybody rewrites it.
    const { method, url } = request
    // A connection that is gone has no address any more, and what its client calls itself is nobody's.
    const from = request.socket.remoteAddress ?? passedOnFor(request)
    // Headers that a plane hands to writeHead as a list can be read back only from a response that
    // has had headers of its own before.
    response.setHeader('x-request-id', '')
    response.removeHeader('x-request-id')
    response.once('close', () => {
      logger.debug(
        {
          request_id: response.getHeader('x-amz-request-id') ?? response.getHeader('x-request-id'),
          method,
          path: printablePath(url ?? ''),
          status: response.headersSent ? response.statusCode : undefined,
          complete: response.writableFinished,
          duration_ms: Math.round((performance.now() - startedAt) * 10) / 10,
          from,
        },
        'Request',
      )
    })
    handle(request, response)
  }
}

/** Of what another thread has passed on: that has no address, and nobody else can come that way. */
function passedOnFor({ headers }: IncomingMessage): string | undefined {
  const client = headers[clientHeader]
  return typeof client === 'string' ? client : undefined
}

/** Without the query, which may carry a signature, and without tickets, which open what they name. */
function printablePath(url: string): string {
  const path = url.split('?', 1)[0] ?? ''
  const at = path.indexOf(replicationPaths.blob)
  return at === -1 ? path : `${path.slice(0, at + replicationPaths.blob.length)}[hidden]`
}
