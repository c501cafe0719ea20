/**
 * Brings large objects to a remote that cannot fetch them: a few at a time, each in long ranges from
 * where the remote says that its bytes end. What becomes of them is told by completions, as with
 * pulls; here only the bytes are moved.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { Backoff } from '../../base/backoff.ts'
import { type Clock, delay } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import { Wakeup } from '../../base/wakeup.ts'
import { RemoteProtocolError, RemoteRefusedError, TicketGoneError } from '../wire/errors.ts'
import { judgeFailure } from '../wire/failure.ts'
import type { TicketBook } from '../wire/tickets.ts'
import type { PushedRange, RemoteTransport } from '../wire/transport.ts'
import type { Connection } from './connection.ts'
import type { Shipment } from './shipment.ts'

export interface PusherOptions {
  readonly transport: RemoteTransport
  readonly connection: Connection
  readonly tickets: TicketBook
  readonly rangeBytes: number
  readonly retryDelayMs: number
  readonly clock: Clock
  readonly random: Random
  /** The remote was away for longer than its bytes are pinned: without a new offer it waits for ever. */
  readonly onLapsed: (shipment: Shipment) => Promise<void>
  readonly onError: (reason: string) => void
}

/** A request carries so many ranges: between two of them the link is idle for a round trip. */
const rangesPerRequest = 16

export class Pusher {
  readonly #options: PusherOptions
  /** As many as there are tickets at most. */
  readonly #waiting = new Set<Shipment>()
  readonly #bell = new Wakeup()
  #closed = false

  constructor(options: PusherOptions) {
    this.#options = options
  }

  /** The remote waits for its bytes. */
  add(shipment: Shipment): void {
    this.#waiting.add(shipment)
    this.#bell.ring()
  }

  /** The life of one lane. */
  async run(): Promise<void> {
    const { connection } = this.#options
    while (!this.#closed && (await connection.opened()) !== undefined) {
      const [shipment] = this.#waiting
      if (shipment === undefined) {
        await this.#bell.wait()
        continue
      }
      this.#waiting.delete(shipment)
      // One ring may stand for several that were added.
      if (this.#waiting.size > 0) this.#bell.ring()
      await this.#push(shipment)
    }
  }

  close(): void {
    this.#closed = true
    this.#bell.ring()
  }

  /** Until the remote has all of it, or nobody wants it any more; or another one's turn has come. */
  async #push(shipment: Shipment): Promise<void> {
    const { connection, clock, random, retryDelayMs, onError } = this.#options
    const ticket = shipment.pushTicket
    const backoff = new Backoff({ random, maxMs: retryDelayMs })
    let held: number | undefined
    while (ticket !== undefined && this.#isWanted(shipment, ticket)) {
      const session = await connection.opened()
      if (session === undefined) return
      try {
        const range = this.#rangeBehind(held, { ticket, size: shipment.place.bytes })
        const bytes = this.#bytesOf(range)
        if (bytes === undefined) {
          if (this.#isWanted(shipment, ticket)) await this.#options.onLapsed(shipment)
          return
        }
        const before = held
        held = await this.#options.transport.pushRange(range, bytes, session.signal)
        if (held >= range.size) return
        if (before !== undefined && held <= before) {
          throw new RemoteProtocolError('the remote holds no more bytes after a push than before')
        }
        if (before !== undefined) backoff.reset()
      } catch (error) {
        rethrowAssertion(error)
        if (isGone(error)) return
        if (session.signal.aborted) continue
        held = undefined
        onError(judgeFailure(error).reason)
        await delay(clock, backoff.next(), session.signal)
        // Whatever is in the way of this one must not keep the others waiting.
        if (this.#waiting.size > 0) return this.add(shipment)
      }
    }
  }

  #isWanted(shipment: Shipment, ticket: string): boolean {
    return !this.#closed && shipment.state === 'pulling' && shipment.pushTicket === ticket
  }

  /** Unless it is known what the remote holds, it is asked. */
  #rangeBehind(
    held: number | undefined,
    object: { readonly ticket: string; readonly size: number },
  ): PushedRange {
    const length = this.#options.rangeBytes * rangesPerRequest
    if (held === undefined) return { ...object, start: 0, end: 0 }
    return { ...object, start: held, end: Math.min(object.size, held + length) }
  }

  /** Undefined when the ticket opens nothing any more. */
  #bytesOf({ ticket, start, end }: PushedRange): AsyncIterable<Uint8Array> | undefined {
    if (start === end) return nothing()
    try {
      return this.#options.tickets.read(ticket, { start, end }).bytes
    } catch (error) {
      if (error instanceof TicketGoneError) return undefined
      throw error
    }
  }
}

/** Nobody waits for it any more, here or there: the completions say what comes next. */
function isGone(error: unknown): boolean {
  if (error instanceof TicketGoneError) return true
  return error instanceof RemoteRefusedError && (error.status === 404 || error.status === 410)
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // An empty range has no bytes.
}
