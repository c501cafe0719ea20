/**
 * Tickets: what a remote shows to fetch one large object. 32 random bytes, kept here as their
 * SHA-256 only, bound to the exact version that was offered. A ticket pins the object's bytes under
 * a lease; each range renews it. The number of leases is bounded, so the bytes that remotes can pin
 * are too.
 */
import { createHash } from 'node:crypto'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { ByteRange, OpenObject } from '../../store/model/object-store.ts'
import { BadRangeError, type TicketEnd, TicketGoneError } from './errors.ts'
import type { LinkTraffic } from './link-traffic.ts'
import { ticketBytes } from './protocol.ts'

export interface TicketBookOptions {
  readonly clock: Clock
  readonly random: Random
  /** How long bytes stay pinned after the last sign of life. */
  readonly leaseMs?: number
  readonly leasesMax?: number
}

const defaultTicketOptions = { leaseMs: 60_000, leasesMax: 64 } as const

/** Ended tickets whose end is still told apart; older ones are `unknown`. */
const remembered = 1024

/** The issuer's hold on a ticket. */
export interface Lease {
  /** Keeps the bytes pinned for another term. */
  renew(): void
  /** The ticket opens nothing from now on. */
  end(end: TicketEnd): void
}

export interface TicketReading {
  /** Bytes of the whole object. */
  readonly size: number
  readonly bytes: AsyncIterable<Buffer>
  /** Of the remote that the ticket was made for. */
  readonly traffic: LinkTraffic
}

interface Entry {
  readonly object: OpenObject
  readonly traffic: LinkTraffic
  expiresAt: number
  readers: number
  ended: TicketEnd | undefined
  /** Bytes were fetched. */
  readonly onRead: (() => void) | undefined
}

export class TicketBook {
  readonly #clock: Clock
  readonly #random: Random
  readonly #leaseMs: number
  readonly #leasesMax: number
  readonly #entries = new Map<string, Entry>()
  readonly #ended = new Map<string, TicketEnd>()
  readonly #freeListeners = new Set<() => void>()
  #sweep: Timer | undefined

  constructor(options: TicketBookOptions) {
    this.#clock = options.clock
    this.#random = options.random
    this.#leaseMs = options.leaseMs ?? defaultTicketOptions.leaseMs
    this.#leasesMax = options.leasesMax ?? defaultTicketOptions.leasesMax
  }

  get hasRoom(): boolean {
    return this.#entries.size < this.#leasesMax
  }

  /** Takes over `object` and closes it when the lease ends. Undefined, and nothing taken, when all are out. */
  issue(
    object: OpenObject,
    traffic: LinkTraffic,
    onRead?: () => void,
  ): { readonly ticket: Uint8Array; readonly lease: Lease } | undefined {
    if (!this.hasRoom) return undefined
    const ticket = this.#random.bytes(ticketBytes)
    const key = keyOf(ticket)
    const expiresAt = this.#clock.monotonic() + this.#leaseMs
    this.#entries.set(key, { object, traffic, expiresAt, readers: 0, ended: undefined, onRead })
    this.#armSweep()
    const lease = { renew: () => this.#renew(key), end: (end: TicketEnd) => this.#end(key, end) }
    return { ticket, lease }
  }

  /**
   * The bytes of `range` of the object that `ticket` (64 hex digits) stands for.
   *
   * @throws TicketGoneError, BadRangeError
   */
  read(ticket: string, range: ByteRange): TicketReading {
    const key = keyOf(Buffer.from(ticket, 'hex'))
    this.#endIfExpired(key)
    const entry = this.#entries.get(key)
    if (entry === undefined) throw new TicketGoneError(this.#ended.get(key) ?? 'unknown')
    const { size } = entry.object.info.meta
    if (range.start < 0 || range.start >= range.end || range.end > size) {
      throw new BadRangeError(`bytes ${range.start} to ${range.end} of ${size} were asked for`)
    }
    this.#renew(key)
    return { size, bytes: this.#stream(key, entry, range), traffic: entry.traffic }
  }

  /** Called whenever a lease has ended. Returns the unsubscriber. */
  onFree(listener: () => void): () => void {
    this.#freeListeners.add(listener)
    return () => this.#freeListeners.delete(listener)
  }

  /** Ends all leases. */
  close(): void {
    for (const key of [...this.#entries.keys()]) this.#end(key, 'unknown')
    this.#sweep?.cancel()
    this.#sweep = undefined
  }

  async *#stream(key: string, entry: Entry, range: ByteRange): AsyncGenerator<Buffer> {
    if (entry.ended !== undefined) throw new TicketGoneError(entry.ended)
    entry.readers++
    try {
      for await (const bytes of entry.object.read(range)) {
        if (entry.ended !== undefined) throw new TicketGoneError(entry.ended)
        this.#renew(key)
        entry.onRead?.()
        yield bytes
      }
    } finally {
      entry.readers--
      if (entry.ended !== undefined && entry.readers === 0) entry.object.close()
    }
  }

  /** The sweep comes by now and then; a ticket is useless from the moment its lease is over. */
  #endIfExpired(key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined && entry.expiresAt <= this.#clock.monotonic()) this.#end(key, 'expired')
  }

  #renew(key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.expiresAt = this.#clock.monotonic() + this.#leaseMs
  }

  #end(key: string, end: TicketEnd): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#ended.set(key, end)
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= remembered) break
      this.#ended.delete(oldest)
    }
    entry.ended = end
    if (entry.readers === 0) entry.object.close()
    for (const listener of this.#freeListeners) listener()
  }

  #armSweep(): void {
    if (this.#sweep !== undefined) return
    this.#sweep = this.#clock.after(this.#leaseMs / 4, () => {
      this.#sweep = undefined
      for (const key of this.#entries.keys()) this.#endIfExpired(key)
      if (this.#entries.size > 0) this.#armSweep()
    })
  }
}

function keyOf(ticket: Uint8Array): string {
  return createHash('sha256').update(ticket).digest('base64')
}
