/**
 * Fetches what is missing of one object, several ranges at the same time, each tried again on its own
 * where it was cut. Only progress has a deadline: the whole may take as long as it wants.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { Backoff } from '../../base/backoff.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { Wakeup } from '../../base/wakeup.ts'
import { RemoteProtocolError, RemoteUnreachableError, TicketGoneError } from '../wire/errors.ts'
import type { BlobTransport } from '../wire/transport.ts'
import type { PendingRange, RangeWindow } from './range-window.ts'

/** Where the bytes are to be had. */
export interface FetchSource {
  readonly origin: string
  /** 64 hex digits. */
  readonly ticket: string
}

export interface ObjectFetchOptions<S extends FetchSource> {
  readonly transport: BlobTransport
  readonly clock: Clock
  readonly random: Random
  readonly window: RangeWindow
  /** Ranges fetched at the same time. */
  readonly rangesMax: number
  /** Whom to ask next; undefined when nobody is left. */
  readonly source: () => S | undefined
  /** A ticket opens nothing any more. */
  readonly onGone: (source: S, error: TicketGoneError) => void
  /** Ends it. */
  readonly signal: AbortSignal
}

/** A transfer that brings nothing for this long is cut and begun again. */
const progressMs = 30_000
/** Failures of one range without a byte between them before the sender is told. */
const fruitlessMax = 5
const retryMaxMs = 5000

export class ObjectFetch<S extends FetchSource> {
  readonly #options: ObjectFetchOptions<S>
  readonly #bell = new Wakeup()
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #reason: string | undefined
  #broken: unknown
  #hasReceived = false

  constructor(options: ObjectFetchOptions<S>) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
  }

  /** Why no more comes; undefined as long as nothing is in the way. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** Whether any byte has come. */
  get hasReceived(): boolean {
    return this.#hasReceived
  }

  /** The next bytes in order; undefined when no more come: all are here, or there is a reason. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#broken !== undefined) throw this.#broken
      this.#fill()
      const piece = this.#options.window.take()
      if (piece !== undefined) return piece
      // Taking may have made room.
      this.#fill()
      if (this.#running.size === 0) return undefined
      await this.#bell.wait()
    }
  }

  /** Ends the transfers that are under way. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#running)
  }

  #fill(): void {
    const { window, rangesMax } = this.#options
    while (this.#running.size < rangesMax && this.#reason === undefined && !this.#signal.aborted) {
      const range = window.open()
      if (range === undefined) return
      const run = this.#fetch(range)
        .catch((error: unknown) => {
          this.#broken ??= error
        })
        .finally(() => {
          window.leave(range)
          this.#running.delete(run)
          this.#bell.ring()
        })
      this.#running.add(run)
    }
  }

  async #fetch(range: PendingRange): Promise<void> {
    const { clock, random, source, onGone } = this.#options
    const backoff = new Backoff({ random, maxMs: retryMaxMs })
    let fruitless = 0
    let reason = 'nobody offers it'
    while (range.next < range.end && !this.#signal.aborted) {
      const from = source()
      if (from === undefined || fruitless >= fruitlessMax) return this.#giveUp(reason)
      const before = range.next
      try {
        await this.#fetchOnce(range, from)
      } catch (error) {
        rethrowAssertion(error)
        if (this.#signal.aborted) return
        reason = messageOf(error)
        if (error instanceof TicketGoneError) onGone(from, error)
        fruitless++
        if (range.next > before) {
          fruitless = 0
          backoff.reset()
        }
        await delay(clock, backoff.next(), this.#signal)
      }
    }
  }

  /** One range cannot be had, so the object cannot: the others end too. */
  #giveUp(reason: string): void {
    this.#reason ??= reason
    this.#stop.abort()
  }

  async #fetchOnce(range: PendingRange, { origin, ticket }: S): Promise<void> {
    const { transport, clock, window } = this.#options
    const { next: start, end } = range
    const cut = new AbortController()
    const stop = (): void => cut.abort()
    let stalled = false
    const stall = (): void => {
      stalled = true
      cut.abort()
    }
    this.#signal.addEventListener('abort', stop, { once: true })
    let watchdog = clock.after(progressMs, stall)
    try {
      const bytes = await transport.fetchRange({ origin, ticket, start, end }, cut.signal)
      for await (const piece of bytes) {
        if (range.next + piece.length > end) {
          throw new RemoteProtocolError('the range is longer than it was to be')
        }
        watchdog.cancel()
        watchdog = clock.after(progressMs, stall)
        this.#hasReceived ||= piece.length > 0
        window.put(range, piece)
        this.#bell.ring()
      }
      if (range.next < end) throw new RemoteProtocolError('the range ended early')
    } catch (cause) {
      rethrowAssertion(cause)
      if (!stalled) throw cause
      throw new RemoteUnreachableError(`nothing came for ${progressMs / 1000} s`, { cause })
    } finally {
      watchdog.cancel()
      this.#signal.removeEventListener('abort', stop)
    }
  }
}
