/** Fetching large objects over HTTP: the ticket is the only credential, redirects are not followed. */
import { Agent } from 'undici'
import { type CompressionMode, unpackedStream, zstdEncoding } from '../wire/compression.ts'
import {
  RemoteProtocolError,
  RemoteRefusedError,
  type TicketEnd,
  TicketGoneError,
} from '../wire/errors.ts'
import { replicationPaths } from '../wire/protocol.ts'
import type { BlobRange, BlobTransport } from '../wire/transport.ts'
import { documentCodeOf, readBounded, translateFailure } from './http-failure.ts'
import { parseRemoteUrl } from './remote-url.ts'
import { type ClientTlsSource, connectorOf, systemTrust } from './tls-connector.ts'

const connectMs = 10_000
const defaultProgressMs = 30_000
const errorBytesMax = 64 * 1024
/** To one site at a time: as many ranges as are ever fetched at once. */
const connectionsMax = 16

export interface BlobTransportOptions {
  readonly compression: CompressionMode
  /** What https:// connections trust and show; what the system trusts unless told. */
  readonly tls?: ClientTlsSource
  /** Without a byte for this long, a transfer has failed; 30 s unless told. */
  readonly progressMs?: number
}

export function createHttpBlobTransport(options: BlobTransportOptions): BlobTransport {
  return new HttpBlobTransport(options)
}

class HttpBlobTransport implements BlobTransport {
  readonly #agent: Agent
  readonly #compression: CompressionMode

  constructor({
    compression,
    tls = systemTrust,
    progressMs = defaultProgressMs,
  }: BlobTransportOptions) {
    this.#compression = compression
    this.#agent = new Agent({
      connections: connectionsMax,
      pipelining: 1,
      allowH2: false,
      connect: connectorOf(tls, connectMs),
      headersTimeout: progressMs,
      bodyTimeout: progressMs,
      keepAliveTimeout: 30_000,
    })
  }

  async fetchRange(range: BlobRange, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { base, origin, prefix } = parseRemoteUrl(range.origin, 'the announced address')
    try {
      const response = await this.#agent.request({
        origin,
        path: prefix + replicationPaths.blob + range.ticket,
        method: 'GET',
        headers: {
          range: `bytes=${range.start}-${range.end - 1}`,
          ...(this.#compression === 'off' ? {} : { 'accept-encoding': zstdEncoding }),
        },
        signal,
      })
      if (response.statusCode !== 206) {
        throw refusedRange(response.statusCode, await readBounded(response.body, errorBytesMax))
      }
      const expected = `bytes ${range.start}-${range.end - 1}/`
      if (!String(response.headers['content-range']).startsWith(expected)) {
        response.body.destroy()
        throw new RemoteProtocolError(`${base} answered with another range than asked for`)
      }
      const isPacked = response.headers['content-encoding'] === zstdEncoding
      const length = range.end - range.start
      return translated(isPacked ? unpackedStream(response.body, length) : response.body, base)
    } catch (error) {
      throw error instanceof TicketGoneError ? error : translateFailure(error, base)
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

/**
 * The address was announced by the sender, and what it is told of a failed pull leads back there:
 * nothing that some other server says at that address may travel along, only the status and, of a
 * well-formed document of ours, the code.
 */
function refusedRange(status: number, bytes: Buffer): Error {
  const remoteCode = documentCodeOf(bytes)
  const message = remoteCode === '' ? 'the bytes are not to be had there' : remoteCode
  const refusal = new RemoteRefusedError({ status, remoteCode, message })
  const end = ends[refusal.remoteCode]
  return (status === 404 || status === 410) && end !== undefined
    ? new TicketGoneError(end, { cause: refusal })
    : refusal
}

/** The codes with which a sender refuses a ticket. */
export const ticketEndCodes = {
  unknown: 'TICKET_UNKNOWN',
  expired: 'TICKET_EXPIRED',
  superseded: 'TICKET_SUPERSEDED',
} as const satisfies Record<TicketEnd, string>

const ends: Readonly<Record<string, TicketEnd | undefined>> = {
  [ticketEndCodes.unknown]: 'unknown',
  [ticketEndCodes.expired]: 'expired',
  [ticketEndCodes.superseded]: 'superseded',
}

async function* translated(
  body: AsyncIterable<Uint8Array>,
  base: string,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    throw translateFailure(error, base)
  }
}
