/** Which plane a request belongs to, by its path alone. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from './listener.ts'

export interface Planes {
  /** Everything that is not `/admin`. */
  readonly data: RequestHandler
  /** `/admin` and below. */
  readonly control: RequestHandler
  /** The replication streams, which the control plane's framework is not made for. */
  readonly replication: RequestHandler
}

const replicationPattern =
  /^\/admin\/replication\/(?:batch|handshake|completions|farewell|digest|fetch|read|mend|blob\/[^/?]*)(?:\?|$)/

export function createDispatcher(planes: Planes): RequestHandler {
  return (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.charCodeAt(0) !== 0x2f) takeAbsoluteForm(request)
    const url = request.url ?? '/'
    // Object requests come by the ten thousand a second: one comparison for them.
    if (!url.startsWith('/admin')) planes.data(request, response)
    else if (replicationPattern.test(url)) planes.replication(request, response)
    else if (/^\/admin(?:[/?]|$)/.test(url)) planes.control(request, response)
    else planes.data(request, response)
  }
}

/** `GET http://host/path`: a server must understand it, and its authority replaces Host (RFC 9112, 3.2.2). */
function takeAbsoluteForm(request: IncomingMessage): void {
  const match = /^https?:\/\/([^/?#]*)(.*)$/i.exec(request.url ?? '')
  if (match === null) return
  const [, authority, rest = ''] = match
  request.headers.host = authority
  request.url = rest.startsWith('/') ? rest : `/${rest}`
}
