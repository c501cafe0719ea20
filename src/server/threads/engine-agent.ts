/**
 * Connections of an HTTP thread to the engine's socket, kept while they are in use. Unlike TCP, such a socket refuses
 * who comes while too many wait to be taken (EAGAIN); here whoever was refused tries again, and the others
 * wait for it in their turn.
 */
import { Agent, type AgentOptions } from 'node:http'
import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../base/clock.ts'
import { systemCodeOf } from '../../base/errors.ts'

/** The engine's thread takes all that wait in one turn, so that it is not longer than such a turn. */
const againMs = 5
/** About a minute: an engine that stands still for so long will not go on. */
const triesMax = 12_000

type Connected = (error: Error | null, stream: Duplex) => void

export class EngineAgent extends Agent {
  readonly #clock: Clock
  readonly #socketPath: string
  readonly #waiting: Connected[] = []

  constructor(options: AgentOptions & { readonly socketPath: string; readonly clock: Clock }) {
    const { socketPath, clock, ...others } = options
    super({ ...others, keepAlive: true })
    this.#clock = clock
    this.#socketPath = socketPath
  }

  override createConnection(_options: object, connected?: Connected): undefined {
    if (connected === undefined) return
    this.#waiting.push(connected)
    if (this.#waiting.length === 1) this.#connect(triesMax)
  }

  /** For the one that has waited longest. */
  #connect(tries: number): void {
    const socket = createConnection({ path: this.#socketPath })
    const onError = (error: Error): void => {
      if (systemCodeOf(error) === 'EAGAIN' && tries > 1) {
        this.#clock.after(againMs, () => this.#connect(tries - 1))
      } else this.#pass(error, socket)
    }
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.off('error', onError)
      this.#pass(null, socket)
    })
  }

  #pass(error: Error | null, socket: Socket): void {
    this.#waiting.shift()?.(error, socket)
    if (this.#waiting.length > 0) this.#connect(triesMax)
  }
}
