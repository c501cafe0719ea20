/**
 * Replication's transports over the simulated network. What HTTP does to a request happens here too:
 * documents are written and parsed, errors become statuses.
 */
import { MalformedBytesError } from '../base/byte-reader.ts'
import { ComioError, messageOf } from '../base/errors.ts'
import type { ReadResponder } from '../replication/reads/read-responder.ts'
import type { Receiver } from '../replication/receive/receiver.ts'
import {
  BadRangeError,
  HandshakeRequiredError,
  ObjectGoneError,
  RemoteRefusedError,
  RemoteUnreachableError,
  TicketGoneError,
} from '../replication/wire/errors.ts'
import { PassingBatch } from '../replication/wire/passing-batch.ts'
import {
  type CompletionsAnswer,
  type CompletionsQuery,
  type Farewell,
  type Hello,
  type HelloAnswer,
  type Inquiry,
  parseCompletionsAnswer,
  parseCompletionsQuery,
  parseFarewell,
  parseHello,
  parseHelloAnswer,
} from '../replication/wire/protocol.ts'
import type { TicketBook } from '../replication/wire/tickets.ts'
import type {
  BlobRange,
  BlobTransport,
  PushedRange,
  RemoteTransport,
} from '../replication/wire/transport.ts'
import { SimSystemError } from './sim-device.ts'
import type { Call, Caller, SimNetwork } from './sim-network.ts'
import { arrived, type SentBytes, SimWire } from './sim-wire.ts'
import type { Trace } from './trace.ts'

/** What a running site serves. */
export interface Peer {
  readonly receiver: Receiver
  readonly tickets: TicketBook
  readonly reads: ReadResponder
}

export interface Directory {
  /** The site's running process; undefined while it is down. */
  peerOf(site: string): Peer | undefined
  /** The site serves this, and does not stop before it has. */
  serving(site: string, work: Promise<unknown>): void
  /** Something failed that should never fail. */
  broken(error: unknown): void
}

export interface TransportOptions {
  readonly network: SimNetwork
  readonly directory: Directory
  readonly from: Caller
}

/** Larger batches come in pieces, and some of these hold the end of one body and the beginning of another. */
const wholeBytesMax = 5000
const pieceBytes = 17_000

function inPieces(bytes: Buffer): PassingBatch {
  const batch = new PassingBatch()
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = Buffer.allocUnsafeSlow(Math.min(pieceBytes, bytes.length - at))
    bytes.copy(piece, 0, at)
    batch.add(piece)
  }
  return batch
}

/** Where a site says that large objects are fetched from. */
export function urlOf(site: string): string {
  return `http://${site}.sim`
}

function siteAt(url: string): string {
  return new URL(url).hostname.replace(/\.sim$/, '')
}

export class SimRemoteTransport implements RemoteTransport {
  readonly #options: TransportOptions
  readonly #to: string
  readonly #wire: SimWire
  readonly #closed = new AbortController()

  constructor(options: TransportOptions & { readonly to: string; readonly wire: SimWire }) {
    this.#options = options
    this.#to = options.to
    this.#wire = options.wire
  }

  async handshake(hello: Hello, signal: AbortSignal): Promise<HelloAnswer> {
    const text = JSON.stringify(hello)
    const answer = await this.#call('handshake', signal, async ({ receiver }) =>
      JSON.stringify(receiver.handshake(parseHello(text))),
    )
    const parsed = parseHelloAnswer(answer)
    this.#wire.heard(parsed)
    return parsed
  }

  async sendBatch(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<Buffer> {
    const sent = await this.#wire.batch(pieces, signal)
    return await this.#call('batch', signal, async ({ receiver }) => {
      const bytes = arrived(sent)
      return bytes.length > wholeBytesMax
        ? await receiver.passingBatch(inPieces(bytes))
        : await receiver.batch(bytes)
    })
  }

  async awaitCompletions(query: CompletionsQuery, signal: AbortSignal): Promise<CompletionsAnswer> {
    const text = JSON.stringify(query)
    const answer = await this.#call('completions', signal, async ({ receiver }) =>
      JSON.stringify(await receiver.completions(parseCompletionsQuery(text), signal)),
    )
    return parseCompletionsAnswer(answer)
  }

  async sayFarewell(farewell: Farewell, signal: AbortSignal): Promise<void> {
    const text = JSON.stringify(farewell)
    await this.#call('farewell', signal, ({ receiver }) => receiver.farewell(parseFarewell(text)))
  }

  async pushRange(
    range: PushedRange,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number> {
    const pieces: SentBytes[] = []
    for await (const piece of this.#wire.pushed(bytes, signal)) pieces.push(piece)
    const what = `push ${range.start}-${range.end}`
    return await this.#call(what, signal, (peer) =>
      peer.receiver.push(range, this.#arriving(pieces, { peer, signal })),
    )
  }

  inquire(what: Inquiry, question: string, signal: AbortSignal): Promise<Buffer> {
    return this.#call(what, signal, async ({ receiver }) =>
      Buffer.from(await receiver.inquire(what, question)),
    )
  }

  async close(): Promise<void> {
    this.#closed.abort()
  }

  /** The pieces of a body as they come to the other site: one by one, until the connection breaks. */
  async *#arriving(
    pieces: readonly SentBytes[],
    to: { readonly peer: Peer; readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    const { network, directory, from } = this.#options
    // A site that stops in good order is no peer any more, and still finishes what it serves.
    const isAlive = (): boolean => {
      const peer = directory.peerOf(this.#to)
      return peer === undefined || peer.tickets === to.peer.tickets
    }
    const there = { network, directory, from: { site: this.#to, isAlive } }
    for (const piece of pieces) {
      const serve = async (): Promise<Buffer> => arrived(piece)
      const call = { what: 'pushed piece', to: from.site, signal: to.signal, serve }
      yield await network.piece(callOf(there, call))
    }
  }

  #call<T>(what: string, signal: AbortSignal, serve: (peer: Peer) => Promise<T>): Promise<T> {
    const both = AbortSignal.any([signal, this.#closed.signal])
    return this.#options.network.call(
      callOf(this.#options, { what, to: this.#to, signal: both, serve }),
    )
  }
}

/** How a site fetches. */
interface FetchOptions extends TransportOptions {
  /** It takes what is packed. */
  readonly takesPacked: boolean
  readonly trace: Trace
}

export class SimBlobTransport implements BlobTransport {
  readonly #options: FetchOptions

  constructor(options: FetchOptions) {
    this.#options = options
  }

  async fetchRange(range: BlobRange, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { ticket, start, end } = range
    const to = siteAt(range.origin)
    const { served, reading } = await this.#options.network.call(
      callOf(this.#options, {
        what: `range ${start}-${end}`,
        to,
        signal,
        serve: async (peer) => ({
          served: peer,
          reading: peer.tickets.read(ticket, { start, end }),
        }),
      }),
    )
    const { takesPacked: wanted, trace } = this.#options
    const wire = new SimWire(reading.traffic, trace)
    const bytes = wire.body(reading.bytes, { wanted, signal })
    return this.#body(bytes, { to, served, signal })
  }

  async close(): Promise<void> {
    // There is nothing to close: calls end with their signals.
  }

  async *#body(
    bytes: AsyncGenerator<SentBytes>,
    from: { readonly to: string; readonly served: Peer; readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    const { to, served, signal } = from
    const serve = async (peer: Peer): Promise<IteratorResult<SentBytes>> => {
      if (peer.tickets !== served.tickets)
        throw new RemoteUnreachableError('the site was started again')
      return await bytes.next()
    }
    try {
      for (;;) {
        const step = await this.#options.network.piece(
          callOf(this.#options, { what: 'piece', to, signal, serve }),
        )
        if (step.done === true) return
        yield arrived(step.value)
      }
    } finally {
      // Not awaited: a site that has crashed never answers.
      bytes.return(undefined).catch(() => undefined)
    }
  }
}

export function callOf<T>(
  { directory, from }: TransportOptions,
  call: {
    readonly what: string
    readonly to: string
    readonly signal: AbortSignal
    readonly serve: (peer: Peer) => Promise<T>
  },
): Call<T> {
  const { what, to, signal } = call
  return {
    what,
    from,
    to,
    signal,
    serve: async () => {
      const peer = directory.peerOf(to)
      if (peer === undefined) throw new RemoteUnreachableError(`cannot reach ${to}: refused`)
      try {
        const answer = call.serve(peer)
        directory.serving(to, answer)
        return await answer
      } catch (error) {
        throw answerFor(error, directory)
      }
    },
    broken: (reason) => new RemoteUnreachableError(`cannot reach ${to}: ${reason}`),
  }
}

/** What the caller sees of an error at the other site, as `http-receiver.ts` answers it. */
function answerFor(error: unknown, directory: Directory): Error {
  if (error instanceof TicketGoneError || error instanceof RemoteUnreachableError) return error
  const isExpected = error instanceof ComioError || error instanceof SimSystemError
  if (!isExpected) directory.broken(error)
  const remoteCode = error instanceof ComioError ? error.code : 'INTERNAL_ERROR'
  return new RemoteRefusedError({
    status: statusOf(error),
    remoteCode,
    message: messageOf(error),
  })
}

function statusOf(error: unknown): number {
  if (error instanceof MalformedBytesError) return 400
  if (error instanceof HandshakeRequiredError) return 409
  if (error instanceof ObjectGoneError) return 410
  if (error instanceof BadRangeError) return 416
  if (!(error instanceof ComioError)) return 500
  return error.code === 'STORAGE_FULL' || error.code === 'INDEX_FULL' ? 507 : 503
}
