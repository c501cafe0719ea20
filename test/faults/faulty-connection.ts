/** A client's connection through the proxy, and the one to its target. */
import type { Socket } from 'node:net'
import { Flow, type Line } from './flow.ts'
import { RequestRecorder } from './request-recorder.ts'
import type { Weather } from './weather.ts'

export interface ConnectionOptions {
  readonly client: Socket
  readonly target: Socket
  readonly weather: () => Weather
  /** To the target, and back. */
  readonly lines: readonly [Line, Line]
  /** Before a piece goes on: whether it still may. */
  readonly onUp: (bytes: number) => boolean
  readonly onDown: (piece: Buffer) => boolean
  readonly onRequest: (request: Buffer) => void
  /** Whether to break off now, in the middle of a body. */
  readonly breaksOff: () => boolean
  readonly onEnd: () => void
}

export class FaultyConnection {
  readonly #options: ConnectionOptions
  readonly #up: Flow
  readonly #down: Flow
  readonly #recorder: RequestRecorder
  #isSwallowing = false

  constructor(options: ConnectionOptions) {
    const { client, target, weather, lines, onRequest } = options
    this.#options = options
    this.#recorder = new RequestRecorder(onRequest)
    this.#up = new Flow([client, target], { weather, line: lines[0] })
    this.#down = new Flow([target, client], { weather, line: lines[1] })
    client.on('data', (piece: Buffer) => this.#sendUp(piece))
    target.on('data', (piece: Buffer) => {
      if (!this.#isSwallowing && options.onDown(piece)) this.#down.push(piece)
    })
    this.#watch(client, this.#up)
    this.#watch(target, this.#down)
  }

  /** From now on nobody at either end hears anything. */
  swallow(): void {
    this.#isSwallowing = true
    for (const flow of [this.#up, this.#down]) flow.stop()
    for (const socket of this.#sockets) socket.resume()
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Both ends get a RST. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  get #sockets(): readonly Socket[] {
    return [this.#options.client, this.#options.target]
  }

  #sendUp(piece: Buffer): void {
    const { onUp, breaksOff } = this.#options
    if (this.#isSwallowing || !onUp(piece.length)) return
    const half = piece.subarray(0, Math.ceil(piece.length / 2))
    this.#recorder.feed(half)
    if (this.#recorder.isInBody && breaksOff()) {
      // What was written is on its way before the reset is.
      this.#options.target.write(half, () => this.reset())
      return
    }
    this.#recorder.feed(piece.subarray(half.length))
    this.#up.push(piece)
  }

  /** One end that goes ends the other one, unless nothing is heard any more. */
  #watch(socket: Socket, flow: Flow): void {
    // Broken connections are what this is for: each end sees its own error.
    socket.on('error', () => undefined)
    socket.on('end', () => {
      if (!this.#isSwallowing) flow.push(undefined)
    })
    socket.on('close', () => {
      flow.stop()
      if (!this.#isSwallowing) this.cut()
      if (this.#sockets.every(({ destroyed }) => destroyed)) this.#options.onEnd()
    })
  }
}
