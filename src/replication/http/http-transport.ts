/**
 * The sender's requests over HTTP, with undici: few kept-alive connections, no redirects, deadlines
 * for progress and none for the whole.
 *
 * It must never know ledgers or the store: what is sent has been made into bytes.
 */
import { type buildConnector, Pool } from 'undici'
import { assert } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { giveBackWhole } from '../../base/give-back.ts'
import { pushLanes } from '../options.ts'
import { packed, zstdEncoding } from '../wire/compression.ts'
import {
  PlaintextRefusedError,
  RemoteProtocolError,
  RemoteRefusedError,
  RemoteUnreachableError,
} from '../wire/errors.ts'
import { type LinkTraffic, packedWhereItPays } from '../wire/link-traffic.ts'
import {
  acceptedParts,
  type CompletionsAnswer,
  type CompletionsQuery,
  decodedLengthHeader,
  documentBytesMax,
  type Farewell,
  type Hello,
  type HelloAnswer,
  type Inquiry,
  parseCompletionsAnswer,
  parseHelloAnswer,
  parsePushAnswer,
  replicationPaths,
} from '../wire/protocol.ts'
import type { Traffic } from '../wire/traffic.ts'
import type { PushedRange, RemoteTransport } from '../wire/transport.ts'
import { readBounded, refusalOf, translateFailure, wasCut } from './http-failure.ts'
import { parseRemoteUrl, type RemoteUrl } from './remote-url.ts'
import {
  type ClientTlsSource,
  commonTlsSettings,
  connectorOf,
  systemTrust,
  type TlsSettings,
} from './tls-connector.ts'
import { TrafficMeter } from './traffic-meter.ts'

/** A token that can change while the transport is in use. */
export interface TokenSource {
  current(): string
  /** Looks for another one than `refused`; whether there is one. */
  renew(refused: string): Promise<boolean>
}

export interface HttpTransportOptions {
  readonly url: string
  readonly token: string | TokenSource
  /** What https:// connections trust and show; what the system trusts unless told. */
  readonly tls?: ClientTlsSource
  /** Where that is set; as for all remotes unless told. */
  readonly tlsSettings?: TlsSettings
  /** Batches at a time; three connections more serve handshakes, completions and comparisons. */
  readonly workers: number
  /** Lets the token travel over plain HTTP beyond loopback. */
  readonly allowPlaintext: boolean
  /** Says how fast and in what form, and counts. */
  readonly traffic: LinkTraffic
  /** Without a byte in either direction for this long, a request has failed; 30 s unless told. */
  readonly progressMs?: number
  readonly clock: Clock
}

const connectMs = 10_000
const defaultProgressMs = 30_000
/** A greeting is answered at once, and how soon one fails is how soon a link that was dead is noticed to live. */
const greetingMs = 10_000
const answerBytesMax = 16 * 2 ** 20
/** Batches up to this size are one write; larger ones go in pieces, each of which is progress. */
const oneWriteBytes = 512 * 1024
const pieceBytes = 256 * 1024
/**
 * Pieces from this size on go as they are, smaller ones together. It must exceed what a socket takes before
 * it asks to be waited for: then the next piece is asked for once the system has this one.
 */
const passedBytesMin = 128 * 1024
const errorBytesMax = 64 * 1024

/** @throws BadRemoteUrlError, PlaintextRefusedError */
export function createHttpTransport(options: HttpTransportOptions): RemoteTransport {
  const url = parseRemoteUrl(options.url, 'the remote')
  refusePlaintext(url, options.allowPlaintext)
  return new HttpTransport(url, options)
}

/** @throws PlaintextRefusedError */
export function refusePlaintext(url: RemoteUrl, allowPlaintext: boolean): void {
  if (!url.isPlaintext || url.isLoopback || allowPlaintext) return
  throw new PlaintextRefusedError(
    `the token would travel over plain HTTP to ${url.origin}, readable on the way`,
    {
      hint: 'Use an https:// address, or set replication.allow_plaintext: true on a safe network.',
    },
  )
}

interface Exchange {
  readonly method: 'POST' | 'PUT'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Makes it anew for each attempt; undefined when it cannot be made twice. */
  readonly body: () => Uint8Array | string | AsyncIterable<Uint8Array> | undefined
  readonly signal: AbortSignal
  /** Until the answer begins, when it is not what all requests have. */
  readonly answerMs?: number
}

type Asked = Pick<Exchange, 'path' | 'answerMs'>

interface Attempt {
  readonly token: string
  readonly body: Uint8Array | string | AsyncIterable<Uint8Array>
}

class HttpTransport implements RemoteTransport {
  readonly #url: RemoteUrl
  readonly #token: TokenSource
  readonly #tls: ClientTlsSource
  readonly #settings: TlsSettings
  readonly #pool: Pool
  readonly #traffic: LinkTraffic
  readonly #progressMs: number
  readonly #clock: Clock
  readonly #meter = new TrafficMeter()
  /** Whether the remote has ever answered, with whatever status. */
  #isAnswering = false
  /** The remote takes what is compressed, as it last said. */
  #isPackedTaken = false

  constructor(url: RemoteUrl, options: HttpTransportOptions) {
    const { token, progressMs = defaultProgressMs } = options
    this.#progressMs = progressMs
    this.#url = url
    this.#tls = options.tls ?? systemTrust
    this.#settings = options.tlsSettings ?? commonTlsSettings
    this.#token =
      typeof token === 'string' ? { current: () => token, renew: async () => false } : token
    this.#traffic = options.traffic
    this.#clock = options.clock
    this.#pool = new Pool(url.origin, {
      connections: options.workers + pushLanes + 3,
      pipelining: 1,
      allowH2: false,
      connect: this.#meter.counting(heldBack(connectorOf(this.#tls, connectMs))),
      headersTimeout: progressMs,
      bodyTimeout: progressMs,
      keepAliveTimeout: 30_000,
    })
  }

  async handshake(hello: Hello, signal: AbortSignal): Promise<HelloAnswer> {
    const answerMs = Math.min(greetingMs, this.#progressMs)
    const what = { path: replicationPaths.handshake, answerMs }
    const bytes = await this.#exchangeJson(what, hello, signal)
    const answer = this.#parsed(bytes, parseHelloAnswer)
    this.#isPackedTaken = answer.accepts?.includes(acceptedParts.zstd) === true
    return answer
  }

  async sendBatch(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<Buffer> {
    let plainLength = 0
    for (const piece of pieces) plainLength += piece.length
    const small = await this.#packedBatch(pieces, plainLength)
    const length = small?.length ?? plainLength
    const { bandwidth } = this.#traffic
    const isOneWrite = length <= oneWriteBytes && !bandwidth.isLimited
    const wire = small === undefined ? pieces : [small]
    this.#traffic.saved(plainLength - length)
    if (isOneWrite) this.#traffic.sent(length)
    let isTaken = isOneWrite
    const answer = await this.#exchange({
      method: 'POST',
      path: replicationPaths.batch,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(length),
        ...(small === undefined
          ? {}
          : { 'content-encoding': zstdEncoding, [decodedLengthHeader]: String(plainLength) }),
      },
      body: () => {
        if (isOneWrite) return small ?? Buffer.concat(pieces, length)
        isTaken = false
        const whole = evenPieces(wire, () => {
          isTaken = true
        })
        return this.#traffic.paced(whole, { urgent: true, signal })
      },
      signal,
    })
    if (!isTaken) throw new RemoteProtocolError('the remote answered before it had the whole batch')
    return answer
  }

  async pushRange(
    range: PushedRange,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number> {
    const { ticket, start, end, size } = range
    const isQuestion = start === end
    const length = end - start
    const wire = isQuestion
      ? { bytes, isPacked: false }
      : await packedWhereItPays(bytes, {
          length,
          wanted: this.#isPackedTaken,
          traffic: this.#traffic,
        })
    const answer = await this.#exchange({
      method: 'PUT',
      path: replicationPaths.blob + ticket,
      headers: {
        'content-type': 'application/octet-stream',
        'content-range': isQuestion ? `bytes */${size}` : `bytes ${start}-${end - 1}/${size}`,
        ...(wire.isPacked
          ? { 'content-encoding': zstdEncoding }
          : { 'content-length': String(length) }),
      },
      body: isQuestion
        ? () => ''
        : once(this.#traffic.paced(wire.bytes, { urgent: false, signal })),
      signal,
    })
    return this.#parsed(answer, parsePushAnswer)
  }

  async awaitCompletions(query: CompletionsQuery, signal: AbortSignal): Promise<CompletionsAnswer> {
    const bytes = await this.#exchangeJson({ path: replicationPaths.completions }, query, signal)
    return this.#parsed(bytes, parseCompletionsAnswer)
  }

  async sayFarewell(farewell: Farewell, signal: AbortSignal): Promise<void> {
    await this.#exchangeJson({ path: replicationPaths.farewell }, farewell, signal)
  }

  inquire(what: Inquiry, question: string, signal: AbortSignal): Promise<Buffer> {
    return this.#exchangeText({ path: replicationPaths[what] }, question, signal)
  }

  traffic(): Traffic {
    return this.#meter.total()
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  /** Undefined when the batch goes as it is. */
  async #packedBatch(pieces: readonly Uint8Array[], length: number): Promise<Buffer | undefined> {
    const gate = this.#traffic.gate('batch')
    if (!this.#isPackedTaken || !gate.pays(pieces, length)) return undefined
    const plain = Buffer.concat(pieces, length)
    const small = await packed(plain)
    if (length > oneWriteBytes) giveBackWhole(plain)
    return gate.learned(length, small.length) ? small : undefined
  }

  #exchangeJson(what: Asked, document: object, signal: AbortSignal): Promise<Buffer> {
    return this.#exchangeText(what, JSON.stringify(document), signal)
  }

  #exchangeText(what: Asked, body: string, signal: AbortSignal): Promise<Buffer> {
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    }
    return this.#exchange({ method: 'POST', ...what, headers, body: () => body, signal })
  }

  /** A token that was exchanged at both ends meanwhile costs one more attempt, and no pause. */
  async #exchange(exchange: Exchange): Promise<Buffer> {
    const token = this.#token.current()
    const body = exchange.body()
    assert(body !== undefined, 'a body can be made once')
    try {
      return await this.#attempt(exchange, { token, body })
    } catch (error) {
      const isRefused = error instanceof RemoteRefusedError && error.status === 401
      if (!isRefused || !(await this.#token.renew(token))) throw error
      const again = exchange.body()
      if (again === undefined) throw error
      return await this.#attempt(exchange, { token: this.#token.current(), body: again })
    }
  }

  async #attempt(exchange: Exchange, { token, body }: Attempt): Promise<Buffer> {
    const { method, path, headers, answerMs, signal } = exchange
    const isStreamed = typeof body !== 'string' && !(body instanceof Uint8Array)
    const watch = isStreamed ? new SendWatch(this.#clock, this.#progressMs, signal) : undefined
    try {
      const response = await this.#pool.request({
        method,
        path: this.#url.prefix + path,
        headers: { authorization: `Bearer ${token}`, ...headers },
        // A body that goes slowly on purpose is no silence: its own watch knows.
        ...(isStreamed ? { headersTimeout: 0 } : {}),
        ...(answerMs === undefined ? {} : { headersTimeout: answerMs }),
        body: (isStreamed ? watch?.over(body) : body) as Uint8Array,
        signal: watch?.signal ?? signal,
      })
      watch?.end()
      this.#isAnswering = true
      const limit = response.statusCode === 200 ? answerBytesMax : errorBytesMax
      const bytes = await readBounded(response.body, limit)
      if (response.statusCode !== 200) throw refusalOf(response.statusCode, bytes, token)
      return bytes
    } catch (error) {
      const failure = watch?.hasStalled ? stalled(error, this.#progressMs) : error
      throw translateFailure(failure, this.#url.base, {
        cutWords: this.#cutWords(),
        settings: this.#settings,
      })
    } finally {
      watch?.end()
    }
  }

  /** A site that wants a client certificate breaks the connection, and no more is heard of it. */
  #cutWords(): string | undefined {
    const isBare = !this.#url.isPlaintext && this.#tls().cert === undefined
    if (!isBare || this.#isAnswering) return undefined
    return `${wasCut}: if it wants a client certificate, set ${this.#settings.certificate}`
  }

  #parsed<T>(bytes: Buffer, parse: (text: string) => T): T {
    try {
      if (bytes.length > documentBytesMax) throw new MalformedBytesError('the answer is too long')
      return parse(bytes.toString())
    } catch (cause) {
      throw translateFailure(cause, this.#url.base)
    }
  }
}

/** Connections that make whoever sends a large piece wait until the system has it. */
function heldBack(connect: buildConnector.connector): buildConnector.connector {
  return (target, callback) =>
    connect(target, (...connected) => {
      const [, socket] = connected
      const waitsFrom = socket?.writableHighWaterMark ?? 0
      assert(waitsFrom <= passedBytesMin, 'a socket asks to be waited for with each large piece')
      callback(...connected)
    })
}

/** A body that is gone once it was sent. */
function once<T>(body: T): () => T | undefined {
  let rest: T | undefined = body
  return () => {
    const taken = rest
    rest = undefined
    return taken
  }
}

/** The deadline of a request with a long body: what counts is when its last bytes were taken. */
class SendWatch {
  readonly #clock: Clock
  readonly #progressMs: number
  readonly #abort = new AbortController()
  readonly signal: AbortSignal
  #timer: Timer | undefined
  #hasStalled = false
  #hasEnded = false

  constructor(clock: Clock, progressMs: number, signal: AbortSignal) {
    this.#clock = clock
    this.#progressMs = progressMs
    this.signal = AbortSignal.any([signal, this.#abort.signal])
  }

  get hasStalled(): boolean {
    return this.#hasStalled
  }

  async *over(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes) {
      this.#beat()
      yield piece
    }
    this.#beat()
  }

  end(): void {
    this.#hasEnded = true
    this.#timer?.cancel()
  }

  #beat(): void {
    this.#timer?.cancel()
    if (this.#hasEnded) return
    this.#timer = this.#clock.after(this.#progressMs, () => {
      this.#hasStalled = true
      this.#abort.abort()
    })
  }
}

function stalled(cause: unknown, progressMs: number): RemoteUnreachableError {
  return new RemoteUnreachableError(
    `the remote took and answered nothing for ${progressMs / 1000} s`,
    { cause },
  )
}

/**
 * The same bytes in pieces of an even size: large ones as they are, small ones copied together.
 * @param onTaken called when whoever sends has taken all that are not copies
 */
async function* evenPieces(
  pieces: readonly Uint8Array[],
  onTaken: () => void,
): AsyncGenerator<Uint8Array> {
  let together: Uint8Array[] = []
  let bytes = 0
  for (const part of cutPieces(pieces)) {
    const isPassed = part.length >= passedBytesMin
    if (bytes > 0 && (isPassed || bytes + part.length > pieceBytes)) {
      yield Buffer.concat(together, bytes)
      together = []
      bytes = 0
    }
    if (isPassed) {
      yield part
      continue
    }
    together.push(part)
    bytes += part.length
  }
  onTaken()
  if (bytes > 0) yield Buffer.concat(together, bytes)
}

function* cutPieces(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += pieceBytes) yield piece.subarray(at, at + pieceBytes)
  }
}
