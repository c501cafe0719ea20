/**
 * Cuts off clients that keep a connection and let it starve. A long upload may take as long as it
 * wants while it moves; what ends it is a span in which next to nothing arrived although we were
 * waiting for it, or next to nothing left although we had something to send. Time that a request
 * spends inside the site is never held against the client.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface ProgressLimits {
  /** How often connections are looked at, milliseconds. */
  readonly intervalMs: number
  /** So many looks in a row without progress end the connection. */
  readonly strikesMax: number
  /** Fewer bytes between two looks are no progress. */
  readonly bytesMin: number
}

/** About 68 bytes a second over a minute: slower than any line that could still carry an object. */
export const defaultProgressLimits: ProgressLimits = {
  intervalMs: 15_000,
  strikesMax: 4,
  bytesMin: 1024,
}

interface Watched {
  request: IncomingMessage | undefined
  response: ServerResponse | undefined
  read: number
  written: number
  strikes: number
}

export class ProgressGuard {
  readonly #sockets = new Map<Socket, Watched>()
  readonly #limits: ProgressLimits
  readonly #timer: NodeJS.Timeout
  readonly #onCut: () => void

  constructor(limits: ProgressLimits, onCut: () => void) {
    this.#limits = limits
    this.#onCut = onCut
    this.#timer = setInterval(() => this.look(), limits.intervalMs)
    this.#timer.unref()
  }

  /** A new connection. */
  watch(socket: Socket): void {
    this.#sockets.set(socket, {
      request: undefined,
      response: undefined,
      read: 0,
      written: 0,
      strikes: 0,
    })
    socket.once('close', () => this.#sockets.delete(socket))
  }

  /** The exchange that the connection carries now. */
  begin(request: IncomingMessage, response: ServerResponse): void {
    const watched = this.#sockets.get(request.socket)
    if (watched === undefined) return
    watched.request = request
    watched.response = response
    watched.strikes = 0
  }

  /** The answers that are not finished. */
  *unfinished(): Iterable<ServerResponse> {
    for (const { response } of this.#sockets.values()) {
      if (response !== undefined && !response.writableFinished) yield response
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Judges every connection by what moved since the last look; the timer's business. */
  look(): void {
    for (const [socket, watched] of this.#sockets) {
      const read = socket.bytesRead
      // Bytes that the kernel has taken: what merely waits in this process went nowhere.
      const written = socket.bytesWritten - socket.writableLength
      const moved = read - watched.read + (written - watched.written)
      watched.read = read
      watched.written = written
      const starved = moved < this.#limits.bytesMin && isWaitingForClient(socket, watched)
      watched.strikes = starved ? watched.strikes + 1 : 0
      if (watched.strikes < this.#limits.strikesMax) continue
      this.#onCut()
      socket.destroy()
    }
  }
}

function isWaitingForClient(socket: Socket, { request, response }: Watched): boolean {
  if (request === undefined || response === undefined || response.writableFinished) return false
  if (socket.writableLength > 0) return true
  // Data that lies here unread, or a body nobody reads yet, is our delay.
  return !request.complete && request.readableFlowing !== null && request.readableLength === 0
}
