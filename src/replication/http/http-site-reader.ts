/**
 * Reading single objects of another site over HTTP, with undici: connections of their own, so that
 * reads and replication do not wait for each other, with the link's token, certificates and addresses.
 */
import { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import { assert } from '../../base/assert.ts'
import { RemoteProtocolError, RemoteRefusedError, RemoteUnreachableError } from '../wire/errors.ts'
import { replicationPaths } from '../wire/protocol.ts'
import {
  formatMendedObject,
  mendedObjectHeader,
  readInlineMax,
  type VersionedObject,
} from '../wire/read-documents.ts'
import type { SiteReader } from '../wire/site-reader.ts'
import { readBounded, refusalOf, translateFailure } from './http-failure.ts'
import { refusePlaintext, type TokenSource } from './http-transport.ts'
import { parseRemoteUrl, type RemoteUrl } from './remote-url.ts'
import {
  type ClientTlsSource,
  connectorOf,
  systemTrust,
  type TlsSettings,
} from './tls-connector.ts'

export interface HttpSiteReaderOptions {
  /** Tried in turn; it stays with the one that answers. */
  readonly urls: readonly string[]
  readonly token: string | TokenSource
  readonly tls?: ClientTlsSource
  /** Where that is set; as for all remotes unless told. */
  readonly tlsSettings?: TlsSettings
  readonly allowPlaintext: boolean
}

const connectMs = 10_000
const progressMs = 30_000
/** As many objects as are read at one time. */
const connectionsMax = 32
/** Names, metadata and a context of many sites, beside the body. */
const answerBytesMax = readInlineMax + 256 * 1024
const errorBytesMax = 64 * 1024

interface Address {
  readonly url: RemoteUrl
  readonly pool: Pool
}

interface Exchange {
  readonly method: 'POST' | 'PUT'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Makes it anew for each attempt. */
  readonly body: () => string | Readable
  readonly signal: AbortSignal
}

/** @throws BadRemoteUrlError, PlaintextRefusedError */
export function createHttpSiteReader(options: HttpSiteReaderOptions): SiteReader {
  return new HttpSiteReader(options)
}

class HttpSiteReader implements SiteReader {
  readonly #addresses: readonly Address[]
  readonly #token: TokenSource
  readonly #settings: TlsSettings | undefined
  #at = 0

  constructor(options: HttpSiteReaderOptions) {
    const { urls, token, tls = systemTrust, allowPlaintext } = options
    assert(urls.length > 0, 'a remote has an address')
    this.#settings = options.tlsSettings
    this.#token =
      typeof token === 'string' ? { current: () => token, renew: async () => false } : token
    this.#addresses = urls.map((text) => {
      const url = parseRemoteUrl(text, 'the remote')
      refusePlaintext(url, allowPlaintext)
      const pool = new Pool(url.origin, {
        connections: connectionsMax,
        pipelining: 1,
        allowH2: false,
        connect: connectorOf(tls, connectMs),
        headersTimeout: progressMs,
        bodyTimeout: progressMs,
        keepAliveTimeout: 30_000,
      })
      return { url, pool }
    })
  }

  look(question: string, signal: AbortSignal): Promise<Buffer> {
    return this.#exchange(asked(question, signal), ({ body }) => readBounded(body, answerBytesMax))
  }

  readBytes(
    question: string,
    { length, signal }: { readonly length: number; readonly signal: AbortSignal },
  ): Promise<AsyncIterable<Buffer>> {
    return this.#exchange(asked(question, signal), async ({ headers, body }, { base }) => {
      if (headers['content-length'] === String(length)) return translated(body, base)
      body.destroy()
      throw new RemoteProtocolError(`${base} answered with other bytes than asked for`)
    })
  }

  async bringBytes(
    object: VersionedObject,
    body: { readonly length: number; readonly bytes: () => AsyncIterable<Uint8Array> },
    signal: AbortSignal,
  ): Promise<void> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(body.length),
      [mendedObjectHeader]: formatMendedObject(object),
    }
    const exchange: Exchange = {
      method: 'PUT',
      path: replicationPaths.mend,
      headers,
      body: () => Readable.from(body.bytes()),
      signal,
    }
    await this.#exchange(exchange, (response) => readBounded(response.body, errorBytesMax))
  }

  async close(): Promise<void> {
    await Promise.all(this.#addresses.map(({ pool }) => pool.destroy()))
  }

  /** Whoever cannot be reached at one address is asked at the next. */
  async #exchange<T>(
    exchange: Exchange,
    take: (response: Dispatcher.ResponseData, url: RemoteUrl) => Promise<T>,
  ): Promise<T> {
    for (let tries = 1; ; tries++) {
      const at = this.#at
      const address = this.#addresses[at]
      assert(address !== undefined, 'one address is current')
      try {
        return await take(await this.#request(address, exchange), address.url)
      } catch (error) {
        const failure = translateFailure(error, address.url.base, { settings: this.#settings })
        const isAway = failure instanceof RemoteUnreachableError && !exchange.signal.aborted
        if (isAway && this.#at === at) this.#at = (at + 1) % this.#addresses.length
        if (!isAway || tries === this.#addresses.length) throw failure
      }
    }
  }

  /** A token that was exchanged at both ends meanwhile costs one more attempt. */
  async #request(address: Address, exchange: Exchange): Promise<Dispatcher.ResponseData> {
    const token = this.#token.current()
    try {
      return await attempt(address, exchange, token)
    } catch (error) {
      const isRefused = error instanceof RemoteRefusedError && error.status === 401
      if (!isRefused || !(await this.#token.renew(token))) throw error
      return await attempt(address, exchange, this.#token.current())
    }
  }
}

async function attempt(
  { url, pool }: Address,
  { method, path, headers, body, signal }: Exchange,
  token: string,
): Promise<Dispatcher.ResponseData> {
  const response = await pool.request({
    method,
    path: url.prefix + path,
    headers: { authorization: `Bearer ${token}`, ...headers },
    body: body(),
    signal,
  })
  if (response.statusCode === 200) return response
  throw refusalOf(response.statusCode, await readBounded(response.body, errorBytesMax), token)
}

function asked(question: string, signal: AbortSignal): Exchange {
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(question)),
  }
  return { method: 'POST', path: replicationPaths.read, headers, body: () => question, signal }
}

async function* translated(body: AsyncIterable<Buffer>, base: string): AsyncGenerator<Buffer> {
  try {
    yield* body
  } catch (error) {
    throw translateFailure(error, base)
  }
}
