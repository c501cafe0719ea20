/** One direction of a connection: pieces in their order, each when the weather lets it arrive. */
import type { Socket } from 'node:net'
import type { Weather } from './weather.ts'

interface Waiting {
  readonly dueAt: number
  /** Undefined for the end. */
  readonly piece: Buffer | undefined
}

/** What the connections of one direction share: when it will have passed on all that waits. */
export interface Line {
  freeAt: number
}

/** Beyond this the sender is held up. */
const waitingBytesMax = 512 * 1024

export class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #weather: () => Weather
  readonly #line: Line
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #lastDueAt = 0
  #isStopped = false

  constructor(
    [from, to]: readonly [Socket, Socket],
    options: { readonly weather: () => Weather; readonly line: Line },
  ) {
    this.#from = from
    this.#to = to
    this.#weather = options.weather
    this.#line = options.line
    to.on('drain', () => this.#from.resume())
  }

  /** Passes a piece on, or the end where there is none. */
  push(piece: Buffer | undefined): void {
    const dueAt = this.#dueAt(piece?.length ?? 0)
    if (this.#waiting.length === 0 && dueAt <= performance.now()) {
      this.#deliver(piece)
      return
    }
    this.#waiting.push({ dueAt, piece })
    this.#waitingBytes += piece?.length ?? 0
    if (this.#waitingBytes > waitingBytesMax) this.#from.pause()
    this.#timer ??= setTimeout(() => this.#pump(), Math.max(0, dueAt - performance.now()))
  }

  /** Nothing arrives any more. */
  stop(): void {
    this.#isStopped = true
    this.#waiting = []
    clearTimeout(this.#timer)
  }

  #dueAt(bytes: number): number {
    const now = performance.now()
    const weather = this.#weather()
    if (weather.kind === 'delayed') this.#lastDueAt = Math.max(this.#lastDueAt, now + weather.ms)
    if (weather.kind === 'throttled') {
      this.#line.freeAt = Math.max(this.#line.freeAt, now) + (1000 * bytes) / weather.bytesPerSecond
      this.#lastDueAt = Math.max(this.#lastDueAt, this.#line.freeAt)
    }
    return this.#lastDueAt
  }

  #pump(): void {
    this.#timer = undefined
    for (;;) {
      const first = this.#waiting[0]
      if (first === undefined) break
      const pause = first.dueAt - performance.now()
      if (pause > 0) {
        this.#timer = setTimeout(() => this.#pump(), pause)
        return
      }
      this.#waiting.shift()
      this.#waitingBytes -= first.piece?.length ?? 0
      this.#deliver(first.piece)
    }
    if (!this.#to.writableNeedDrain) this.#from.resume()
  }

  #deliver(piece: Buffer | undefined): void {
    if (this.#isStopped || this.#to.destroyed) return
    if (piece === undefined) this.#to.end()
    else if (!this.#to.write(piece)) this.#from.pause()
  }
}
