/**
 * The one listener of a site: a `node:http` server that bounds headers, silence and connections, and
 * hands each request to the plane its path belongs to.
 *
 * It must never know what a plane answers, nor who may ask.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type ListenOptions,
  type Socket,
} from 'node:net'
import type { Duplex } from 'node:stream'
import type { HealthDocument } from '../../admin/protocol.ts'
import { assert } from '../../base/assert.ts'
import { messageOf, systemCodeOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { urlOfHost } from '../../config/host-kind.ts'
import { VolumeInUseError } from '../../device/errors.ts'
import { AddressInUseError, ListenFailedError } from '../errors.ts'
import { takePortTurn } from './port-turn.ts'
import { defaultProgressLimits, ProgressGuard, type ProgressLimits } from './progress-guard.ts'
import { type ListenerTls, TlsListener, type TlsMaterial } from './tls-listener.ts'

/** A key of 1024 bytes percent-encoded, 2 KiB of metadata, a token, and room. */
export const headerBytesMax = 32 * 1024
const headersTimeoutMs = 30_000
/** Longer than the pauses of a client that works; undici and the SDKs learn it from the answer. */
const keepAliveMs = 30_000
/** Beyond it new connections are dropped at once, while file handles are left for the volume. */
const connectionsMax = 8192

/** For each of so many threads that share a port: together they take no more than one alone. */
export function connectionsMaxOf(threads: number): number {
  return Math.ceil(connectionsMax / threads)
}

export interface ListenerLimits {
  readonly connectionsMax: number
  readonly headerBytesMax: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly progress: ProgressLimits
}

const defaultLimits: ListenerLimits = {
  connectionsMax,
  headerBytesMax,
  headersTimeoutMs,
  keepAliveMs,
  progress: defaultProgressLimits,
}

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void

/** A port of this machine, or a socket of its own in the file system. */
export type ListenAddress =
  | {
      readonly host: string
      /** 0 for any free one. */
      readonly port: number
      /** Other threads listen on it as well, and the system divides the connections; one of them is the first. */
      readonly shared?: 'first' | 'further' | undefined
    }
  | { readonly path: string }

export interface ListenerOptions {
  readonly address: ListenAddress
  readonly logger: Logger
  readonly limits?: Partial<ListenerLimits>
  /** Speaks https, and nothing else, where given. */
  readonly tls?: ListenerTls | undefined
}

export class Listener {
  readonly #server: Server | TlsServer
  readonly #tls: TlsListener | undefined
  readonly #guard: ProgressGuard
  readonly #logger: Logger
  /** What each connection is still to be answered, in the order of its requests. */
  readonly #owed = new WeakMap<Duplex, Set<ServerResponse>>()
  /** Connections on which something malformed came: they end with the answers that are owed. */
  readonly #ending = new WeakSet<Duplex>()
  readonly #onAnswered: (this: ServerResponse) => void
  #handle: RequestHandler | undefined
  #closing = false
  #closed: Promise<void> | undefined

  private constructor(options: ListenerOptions) {
    const limits = { ...defaultLimits, ...options.limits }
    this.#logger = options.logger
    // One function for all answers, and not a closure for each.
    const listener = this
    this.#onAnswered = function (this: ServerResponse): void {
      listener.#noteAnswered(this)
    }
    const { tls } = options
    // What comes over a socket of this process was let in elsewhere, where HTTP/1.0 needs no Host, and has headers
    // of that thread's own beyond those that were counted there.
    const isPassedOn = 'path' in options.address
    const settings = {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: limits.headersTimeoutMs,
      // The whole of a request has no deadline; the guard below sees to it that it moves.
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(5_000, limits.headersTimeoutMs),
      noDelay: true,
      requireHostHeader: !isPassedOn,
      // What has no body has no events of one either.
      optimizeEmptyRequests: true,
    }
    this.#tls =
      tls === undefined
        ? undefined
        : new TlsListener(settings, tls, (error) => {
            const fields = { code: systemCodeOf(error), error: messageOf(error) }
            this.#logger.debug(fields, 'A TLS connection was not made')
          })
    this.#server = this.#tls?.server ?? createServer(settings)
    if (isPassedOn) this.#server.maxHeadersCount = 0
    this.#server.maxConnections = limits.connectionsMax
    this.#guard = new ProgressGuard(limits.progress, () => {
      this.#logger.debug({}, 'A connection without progress was cut off')
    })
    const receive = (request: IncomingMessage, response: ServerResponse): void =>
      this.#receive(request, response)
    const ready = tls === undefined ? 'connection' : 'secureConnection'
    this.#server.on(ready, (socket: Socket) => this.#guard.watch(socket))
    this.#server.on('request', receive)
    // The planes say "100 Continue" themselves, once they want the body.
    this.#server.on('checkContinue', receive)
    this.#server.on('clientError', (error, socket) => this.#answerClientError(error, socket))
  }

  /**
   * Binds the address. Connections wait until {@link serve} names who answers them.
   * @throws AddressInUseError, ListenFailedError
   */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options)
    try {
      await listener.#listen(options)
    } catch (cause) {
      listener.#guard.close()
      throw listenFailure(cause, options.address)
    }
    return listener
  }

  /** The address as it was really bound. */
  get address(): AddressInfo {
    const address = this.#server.address()
    assert(address !== null && typeof address === 'object', 'the listener has a TCP address')
    return address
  }

  /** Which certificate new connections get. @throws when the material does not fit together */
  renewTls(material: TlsMaterial): void {
    this.#tls?.renew(material)
  }

  serve(handle: RequestHandler): void {
    this.#handle = handle
  }

  /** Accepts nothing more; what is under way may finish for `graceMs`, then it is cut off. */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.#closing = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const response of this.#guard.unfinished()) this.#sayGoodbye(response)
    this.#tls?.dropSilent()
    const cut = setTimeout(() => {
      const open = [...this.#guard.unfinished()].length
      if (open > 0) this.#logger.warn({ requests: open }, 'Requests were cut off at shutdown')
      this.#server.closeAllConnections()
      this.#tls?.dropAll()
    }, graceMs)
    await closed
    clearTimeout(cut)
    this.#guard.close()
  }

  async #listen({ address }: ListenerOptions): Promise<void> {
    if ('path' in address) return await this.#bind({ path: address.path })
    const { host, port, shared } = address
    if (shared !== 'first') return await this.#bind({ host, port, reusePort: shared !== undefined })
    // Which free port it is, the system gives to each of them anew.
    const turn = port === 0 ? undefined : await takePortTurn(port)
    try {
      // Whoever shares would be let in where another site listens, and get a part of its connections.
      const free = await findFreePort({ host, port })
      await this.#bind({ host, port: free, reusePort: true })
    } finally {
      await turn?.release()
    }
  }

  #bind(where: ListenOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ ...where, backlog: 1024 }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) => {
          this.#logger.error({ error }, 'The listener failed')
        })
        resolve()
      })
    })
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    this.#guard.begin(request, response)
    this.#noteOwed(request, response)
    if (this.#closing) this.#sayGoodbye(response)
    if (this.#handle === undefined) {
      answerStarting(request, response)
      return
    }
    this.#handle(request, response)
  }

  /** The connection of a request that finishes during shutdown is not kept. */
  #sayGoodbye(response: ServerResponse): void {
    if (!response.headersSent) response.setHeader('connection', 'close')
    else response.once('close', () => this.#server.closeIdleConnections())
  }

  #noteOwed({ socket }: IncomingMessage, response: ServerResponse): void {
    const owed = this.#owed.get(socket)
    if (owed === undefined) this.#owed.set(socket, new Set([response]))
    else owed.add(response)
    response.on('close', this.#onAnswered)
  }

  #noteAnswered(response: ServerResponse): void {
    // The response has let go of its socket by now, its request has not.
    const { socket } = response.req
    const owed = this.#owed.get(socket)
    if (owed === undefined) return
    owed.delete(response)
    if (this.#ending.has(socket) && !owesWholeRequest(owed)) socket.destroySoon()
  }

  #answerClientError(error: Error, socket: Duplex): void {
    const code = systemCodeOf(error) ?? ''
    const owed = this.#owed.get(socket) ?? new Set()
    if (code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    if (owesWholeRequest(owed)) {
      // An answer to what is malformed would be taken for the answer to the request before it.
      this.#ending.add(socket)
      return
    }
    if (hasBegun(owed)) {
      socket.destroy()
      return
    }
    this.#logger.debug({ code, error: messageOf(error) }, 'A malformed request was refused')
    socket.end(
      `HTTP/1.1 ${statusOfClientError(code)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    )
  }
}

/** The port itself, once it is sure that nobody listens there. */
async function findFreePort(where: {
  readonly host: string
  readonly port: number
}): Promise<number> {
  const probe = createTcpServer()
  probe.listen({ ...where, exclusive: true })
  await once(probe, 'listening')
  const address = probe.address()
  assert(address !== null && typeof address === 'object', 'the probe has a TCP address')
  probe.close()
  await once(probe, 'close')
  return address.port
}

/** Whether a request that arrived whole is not answered yet. */
function owesWholeRequest(owed: ReadonlySet<ServerResponse>): boolean {
  for (const { req } of owed) if (req.complete) return true
  return false
}

function hasBegun(owed: ReadonlySet<ServerResponse>): boolean {
  for (const response of owed) if (response.headersSent) return true
  return false
}

/** In the form of the health document, which is what probes look at while a site starts. */
function answerStarting(request: IncomingMessage, response: ServerResponse): void {
  const document: HealthDocument = { status: 'degraded', reasons: ['the site is starting'] }
  response.writeHead(503, {
    'content-type': 'application/json; charset=utf-8',
    'retry-after': '1',
    connection: 'close',
  })
  response.end(request.method === 'HEAD' ? undefined : `${JSON.stringify(document)}\n`)
}

function statusOfClientError(code: string): string {
  if (code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large'
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return '408 Request Timeout'
  return '400 Bad Request'
}

function listenFailure(cause: unknown, address: ListenAddress): Error {
  if ('path' in address) {
    const { path } = address
    const facts = { path }
    return new ListenFailedError(`listening on ${path} failed: ${messageOf(cause)}`, {
      facts,
      cause,
    })
  }
  const { host, port } = address
  const where = urlOfHost(host, port).slice('http://'.length)
  const facts = { host, port }
  const isTaking = cause instanceof VolumeInUseError // by a site that is just about to listen
  switch (isTaking ? 'EADDRINUSE' : systemCodeOf(cause)) {
    case 'EADDRINUSE':
      return new AddressInUseError(`port ${port} on ${host} is in use by another process`, {
        hint: 'Stop that process, or choose another port with --port (0 picks a free one).',
        facts,
        cause,
      })
    case 'EACCES':
      return new ListenFailedError(`listening on ${where} is not permitted`, {
        hint: 'Ports below 1024 need special rights: choose another with --port.',
        facts,
        cause,
      })
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ListenFailedError(`${host} is no address of this machine`, {
        hint: 'Set --host to an address of this machine, or to 0.0.0.0 for all of them.',
        facts,
        cause,
      })
    default:
      return new ListenFailedError(`listening on ${where} failed: ${messageOf(cause)}`, {
        facts,
        cause,
      })
  }
}
