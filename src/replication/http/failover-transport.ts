/**
 * Several addresses of one remote, tried in turn: whoever cannot be reached at one is asked at the
 * next, and stays there as long as it answers. That it is the same remote is for the handshake to see.
 */
import { assert } from '../../base/assert.ts'
import { RemoteUnreachableError } from '../wire/errors.ts'
import type {
  CompletionsAnswer,
  CompletionsQuery,
  Farewell,
  Hello,
  HelloAnswer,
  Inquiry,
} from '../wire/protocol.ts'
import type { Traffic } from '../wire/traffic.ts'
import type { PushedRange, RemoteTransport } from '../wire/transport.ts'

export class FailoverTransport implements RemoteTransport {
  readonly #transports: readonly RemoteTransport[]
  #at = 0

  constructor(transports: readonly RemoteTransport[]) {
    assert(transports.length > 0, 'a remote has an address')
    this.#transports = transports
  }

  handshake(hello: Hello, signal: AbortSignal): Promise<HelloAnswer> {
    return this.#call(signal, (transport) => transport.handshake(hello, signal))
  }

  sendBatch(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<Buffer> {
    return this.#call(signal, (transport) => transport.sendBatch(pieces, signal))
  }

  awaitCompletions(query: CompletionsQuery, signal: AbortSignal): Promise<CompletionsAnswer> {
    return this.#call(signal, (transport) => transport.awaitCompletions(query, signal))
  }

  pushRange(
    range: PushedRange,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number> {
    return this.#call(signal, (transport) => transport.pushRange(range, bytes, signal))
  }

  /** Nobody says it again: whoever cannot be reached at one address is told at the next. */
  async sayFarewell(farewell: Farewell, signal: AbortSignal): Promise<void> {
    for (let left = this.#transports.length; ; left--) {
      try {
        await this.#call(signal, (transport) => transport.sayFarewell(farewell, signal))
        return
      } catch (error) {
        const isAway = error instanceof RemoteUnreachableError && !signal.aborted
        if (!isAway || left === 1) throw error
      }
    }
  }

  inquire(what: Inquiry, question: string, signal: AbortSignal): Promise<Buffer> {
    return this.#call(signal, (transport) => transport.inquire(what, question, signal))
  }

  traffic(): Traffic {
    let sentBytes = 0
    let receivedBytes = 0
    for (const transport of this.#transports) {
      const traffic = transport.traffic?.()
      sentBytes += traffic?.sentBytes ?? 0
      receivedBytes += traffic?.receivedBytes ?? 0
    }
    return { sentBytes, receivedBytes }
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()))
  }

  /** The failure is the caller's, whose next attempt goes elsewhere. */
  async #call<T>(signal: AbortSignal, call: (to: RemoteTransport) => Promise<T>): Promise<T> {
    const at = this.#at
    const transport = this.#transports[at]
    assert(transport !== undefined, 'one address is current')
    try {
      return await call(transport)
    } catch (error) {
      const isAway = error instanceof RemoteUnreachableError && !signal.aborted
      // Of several calls that fail together, one moves on.
      if (isAway && this.#at === at) this.#at = (at + 1) % this.#transports.length
      throw error
    }
  }
}
