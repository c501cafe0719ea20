import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import type { Receiver } from '../../src/replication/receive/receiver.ts'
import {
  BadRangeError,
  HandshakeRequiredError,
  RemoteRefusedError,
  RemoteUnreachableError,
  TicketGoneError,
} from '../../src/replication/wire/errors.ts'
import type {
  CompletionsAnswer,
  CompletionsQuery,
  Farewell,
  Hello,
  HelloAnswer,
  Inquiry,
} from '../../src/replication/wire/protocol.ts'
import type { TicketBook } from '../../src/replication/wire/tickets.ts'
import type {
  BlobRange,
  BlobTransport,
  PushedRange,
  RemoteTransport,
} from '../../src/replication/wire/transport.ts'

export type Call = 'handshake' | 'batch' | 'completions' | 'farewell' | 'push' | Inquiry

/** A remote reached by function calls. `fault` decides, for each call, what goes wrong before and after. */
export class MemoryTransport implements RemoteTransport {
  receiver: () => Receiver
  readonly batches: Buffer[] = []
  readonly calls: Call[] = []
  /** Throws to fail a call; `after` the remote has handled it. */
  fault: (call: Call, phase: 'before' | 'after', bytes?: Buffer) => void | Promise<void> = () =>
    undefined

  constructor(receiver: () => Receiver) {
    this.receiver = receiver
  }

  handshake(hello: Hello, signal: AbortSignal): Promise<HelloAnswer> {
    return this.#call('handshake', signal, async () =>
      this.receiver().handshake(JSON.parse(JSON.stringify(hello)) as Hello),
    )
  }

  sendBatch(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<Buffer> {
    const bytes = Buffer.concat(pieces)
    this.batches.push(bytes)
    return this.#call('batch', signal, () => this.receiver().batch(bytes), bytes)
  }

  awaitCompletions(query: CompletionsQuery, signal: AbortSignal): Promise<CompletionsAnswer> {
    return this.#call('completions', signal, () => this.receiver().completions(query, signal))
  }

  sayFarewell(farewell: Farewell, signal: AbortSignal): Promise<void> {
    return this.#call('farewell', signal, () => this.receiver().farewell(farewell))
  }

  readonly pushes: PushedRange[] = []
  /** Throws to cut a push behind so many of its bytes. */
  pushFault: (range: PushedRange, sent: number) => void | Promise<void> = () => undefined

  pushRange(
    range: PushedRange,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number> {
    this.pushes.push(range)
    return this.#call('push', signal, () =>
      this.receiver().push(range, this.#arriving(range, bytes)),
    )
  }

  async *#arriving(
    range: PushedRange,
    bytes: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    let sent = 0
    for await (const piece of bytes) {
      await this.pushFault(range, sent)
      sent += piece.length
      yield piece
    }
  }

  inquire(what: Inquiry, question: string, signal: AbortSignal): Promise<Buffer> {
    return this.#call(what, signal, () => this.receiver().inquire(what, question))
  }

  async close(): Promise<void> {
    await undefined
  }

  async #call<T>(
    call: Call,
    signal: AbortSignal,
    work: () => Promise<T>,
    bytes?: Buffer,
  ): Promise<T> {
    this.calls.push(call)
    const cut = new Promise<never>((_resolve, reject) => {
      const stop = (): void => reject(new RemoteUnreachableError('the request was stopped'))
      if (signal.aborted) stop()
      signal.addEventListener('abort', stop, { once: true })
    })
    const exchange = async (): Promise<T> => {
      await undefined
      await this.fault(call, 'before', bytes)
      try {
        const result = await work()
        await this.fault(call, 'after', bytes)
        return result
      } catch (error) {
        throw overHttp(error)
      }
    }
    return await Promise.race([exchange(), cut])
  }
}

/** What a failure of the receiver looks like from the other end. */
function overHttp(error: unknown): unknown {
  const refused = (status: number): RemoteRefusedError =>
    new RemoteRefusedError({ status, remoteCode: '', message: (error as Error).message })
  if (error instanceof HandshakeRequiredError) return refused(409)
  if (error instanceof MalformedBytesError) return refused(400)
  return error
}

/** Pulls from a ticket book by function calls. */
export class MemoryBlobTransport implements BlobTransport {
  tickets: TicketBook | undefined
  readonly ranges: BlobRange[] = []
  /** Of all ranges. */
  bytes = 0
  /** Ranges at the same time, at most. */
  runningMost = 0
  #running = 0
  /** Throws to cut a range once `sent` bytes of it have arrived. */
  fault: (range: BlobRange, sent: number) => void | Promise<void> = () => undefined

  async fetchRange(range: BlobRange, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    await undefined
    this.ranges.push(range)
    if (this.tickets === undefined) throw new RemoteUnreachableError('nobody is there')
    return this.#bytes(range, this.tickets, signal)
  }

  async close(): Promise<void> {
    await undefined
  }

  async *#bytes(
    range: BlobRange,
    tickets: TicketBook,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let sent = 0
    const cut = new Promise<never>((_resolve, reject) => {
      const stop = (): void => reject(new RemoteUnreachableError('the request was stopped'))
      signal.addEventListener('abort', stop, { once: true })
    })
    cut.catch(() => undefined) // it matters only while a piece is waited for
    this.runningMost = Math.max(this.runningMost, ++this.#running)
    try {
      for await (const piece of tickets.read(range.ticket, range).bytes) {
        await Promise.race([this.fault(range, sent), cut])
        if (signal.aborted) throw new RemoteUnreachableError('the request was stopped')
        sent += piece.length
        this.bytes += piece.length
        yield piece
      }
    } catch (error) {
      if (error instanceof TicketGoneError || error instanceof BadRangeError) throw error
      throw error instanceof RemoteUnreachableError
        ? error
        : new RemoteUnreachableError('cut', { cause: error })
    } finally {
      this.#running--
    }
  }
}
