/**
 * TLS for the listener. One port speaks https only: whoever sends plain HTTP to it is told so in an
 * answer that HTTP understands, which takes a look at the first byte of each connection. The
 * certificates can be exchanged while connections are open; those go on with what they have.
 */
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext, type TLSSocket } from 'node:tls'
import { assert } from '../../base/assert.ts'
import type { ListenerTlsConfig } from '../../config/server-config.ts'

/** PEM each. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  readonly ca: string | undefined
}

export interface ListenerTls extends TlsMaterial {
  readonly clientAuth: ListenerTlsConfig['clientAuth']
  readonly minVersion: ListenerTlsConfig['minVersion']
}

/** Time for the first byte, and again for the handshake. */
const helloMs = 10_000
/** For whoever was answered in plain HTTP to read it. */
const partingMs = 1000
/** What a TLS connection begins with: a record of the handshake. */
const handshakeByte = 0x16

export class TlsListener {
  readonly server: Server
  readonly #tls: ListenerTls
  /** Connections that have not said yet what they speak. */
  readonly #silent = new Set<Socket>()
  readonly #open = new Set<Socket>()

  constructor(options: ServerOptions, tls: ListenerTls, onFailure: (error: Error) => void) {
    this.#tls = tls
    this.server = createServer({
      ...options,
      ...contextOf(tls, tls),
      requestCert: tls.clientAuth !== 'none',
      rejectUnauthorized: tls.clientAuth === 'require',
      handshakeTimeout: helloMs,
    })
    const [secure, ...others] = this.server.listeners('connection')
    assert(secure !== undefined && others.length === 0, 'TLS listens for connections, and alone')
    this.server.removeAllListeners('connection')
    this.server.on('connection', (socket: Socket) => {
      this.#look(socket, () => secure.call(this.server, socket))
    })
    this.server.removeAllListeners('tlsClientError')
    this.server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      onFailure(error)
      socket.destroy()
    })
    this.server.on('secureConnection', (socket: TLSSocket) => this.#judge(socket))
  }

  /** For new connections. @throws when the material does not fit together */
  renew(material: TlsMaterial): void {
    this.server.setSecureContext(contextOf(material, this.#tls))
  }

  /** Ends connections that nobody speaks on. */
  dropSilent(): void {
    for (const socket of this.#silent) socket.destroy()
  }

  dropAll(): void {
    for (const socket of this.#open) socket.destroy()
  }

  #look(socket: Socket, secure: () => void): void {
    this.#silent.add(socket)
    this.#open.add(socket)
    const ignore = (): void => undefined
    const timer = setTimeout(() => socket.destroy(), helloMs)
    socket.once('close', () => {
      clearTimeout(timer)
      this.#silent.delete(socket)
      this.#open.delete(socket)
    })
    socket.on('error', ignore)
    socket.once('readable', () => {
      clearTimeout(timer)
      this.#silent.delete(socket)
      const first: Buffer | null = socket.read()
      if (first === null) {
        socket.destroy()
      } else if (first[0] === handshakeByte) {
        socket.unshift(first)
        socket.off('error', ignore)
        secure()
      } else {
        refusePlainHttp(socket)
      }
    })
  }

  /** Who need not show a certificate must not show a bad one. */
  #judge(socket: TLSSocket): void {
    if (this.#tls.clientAuth !== 'request' || socket.authorized) return
    if (socket.getPeerX509Certificate() !== undefined) socket.destroy()
  }
}

/** @throws when the material does not fit together */
export function checkMaterial(material: TlsMaterial): void {
  createSecureContext(contextOf(material, { minVersion: 'TLSv1.2' }))
}

function contextOf(
  { cert, key, ca }: TlsMaterial,
  { minVersion }: Pick<ListenerTls, 'minVersion'>,
) {
  return { cert, key, minVersion, ...(ca === undefined ? {} : { ca }) }
}

function refusePlainHttp(socket: Socket): void {
  const error = {
    code: 'TLS_REQUIRED',
    message: 'this port speaks https, and plain HTTP came',
    hint: 'Use https:// in the address.',
  }
  const body = `${JSON.stringify({ error })}\n`
  const head = [
    'HTTP/1.1 426 Upgrade Required',
    'Upgrade: TLS/1.2, HTTP/1.1',
    'Connection: Upgrade, close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  // What is still coming is read and dropped: a reset would overtake the answer.
  socket.resume()
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  const timer = setTimeout(() => socket.destroy(), partingMs)
  socket.once('close', () => clearTimeout(timer))
}
