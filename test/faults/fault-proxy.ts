/**
 * A network between two sites that a test makes as bad as it wants: a TCP proxy that delays,
 * throttles, cuts, swallows and resets, that turns a bit over, that sends recorded requests once more,
 * and that can let somebody answer in the target's name. It draws nothing itself: whoever tests has the seed.
 */
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type Random, randomBelow } from '../../src/base/random.ts'
import { FaultyConnection } from './faulty-connection.ts'
import { fair, isClosed, type Weather } from './weather.ts'

interface Interval {
  readonly from: number
  to: number
}

/** Requests kept to be sent again. */
const recordedMax = 64
const replaysMax = 16
const replicationPath = ' /admin/replication/'

export class FaultProxy {
  readonly #server: Server
  readonly #http = createHttpServer()
  readonly #connections = new Set<FaultyConnection>()
  readonly #sockets = new Set<Socket>()
  readonly #waiting = new Map<() => void, number>()
  readonly #recorded: Buffer[] = []
  readonly #closed: Interval[] = []
  readonly #lines = [{ freeAt: 0 }, { freeAt: 0 }] as const
  #target = { host: '127.0.0.1', port: 0 }
  #answers: RequestListener | undefined
  #weather: Weather = fair
  #cutAt: readonly number[] = []
  #flipAt = Number.POSITIVE_INFINITY
  #cutEveryUp = Number.POSITIVE_INFINITY
  #upUntilCut = Number.POSITIVE_INFINITY
  #bytes = 0
  #cuts = 0
  #resets = 0
  #replayed = 0
  #resetsToCome = 0

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** In front of `target`, or of nobody yet. */
  static async listen(target?: string): Promise<FaultProxy> {
    const proxy = new FaultProxy()
    if (target !== undefined) proxy.passTo(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Bytes from the target, of all connections. */
  get bytes(): number {
    return this.#bytes
  }

  get cuts(): number {
    return this.#cuts
  }

  get resets(): number {
    return this.#resets
  }

  /** Requests that came once more, and were answered. */
  get replayed(): number {
    return this.#replayed
  }

  get weather(): Weather {
    return this.#weather
  }

  set weather(weather: Weather) {
    const before = this.#weather
    this.#weather = weather
    if (isClosed(before) && !isClosed(weather)) this.#noteOpen()
    if (isClosed(weather) && !isClosed(before)) {
      this.#closed.push({ from: performance.now(), to: Number.POSITIVE_INFINITY })
    }
    const resets = before.kind === 'half-open' && before.ends === 'reset'
    for (const connection of this.#connections) {
      if (weather.kind === 'cut') connection.cut()
      else if (weather.kind === 'half-open') connection.swallow()
      else if (resets) connection.reset()
    }
  }

  /** New connections lead there. */
  passTo(url: string): void {
    const { hostname, port } = new URL(url)
    this.#target = { host: hostname, port: Number(port) }
  }

  /** From now on `listener` answers all requests in the target's name. */
  answerWith(listener: RequestListener): void {
    if (this.#answers !== undefined) this.#http.off('request', this.#answers)
    this.#answers = listener
    this.#http.on('request', listener)
  }

  /** All connections are cut each time that so many bytes in all have come from the target. */
  cutAt(totals: readonly number[]): void {
    this.#cutAt = totals
    this.#cuts = 0
  }

  /** All connections are cut once, after so many more bytes from the target. */
  cutAfter(bytes: number): void {
    this.#cutAt = [...this.#cutAt.slice(0, this.#cuts), this.#bytes + bytes]
  }

  /** In the byte that comes from the target behind so many more a bit is turned over, once. */
  flipAfter(bytes: number): void {
    this.#flipAt = this.#bytes + bytes
  }

  /** Nothing is to be turned over, or nothing is any more. */
  get hasFlipped(): boolean {
    return this.#flipAt === Number.POSITIVE_INFINITY
  }

  /** Open connections end, and new ones lead there. */
  joinTo(url: string): void {
    this.weather = { kind: 'cut' }
    this.passTo(url)
    this.weather = fair
  }

  /** All connections are cut each time that so many bytes have come from clients. */
  cutEveryUp(bytes: number): void {
    this.#cutEveryUp = bytes
    this.#upUntilCut = bytes
  }

  /** The next connection that brings a body is reset in its middle. */
  resetInBody(): void {
    this.#resetsToCome = 1
  }

  /** Resolves when so many bytes have come from the target. */
  passed(bytes: number): Promise<void> {
    if (this.#bytes >= bytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.set(resolve, bytes))
  }

  /** Sends one of the recorded requests of replication again, over a connection of its own. */
  replay(random: Random): void {
    if (isClosed(this.#weather) || this.#recorded.length === 0) return
    const request = this.#recorded[randomBelow(random, this.#recorded.length)]
    if (request === undefined || this.#sockets.size >= replaysMax) return
    const socket = this.#track(connect(this.#target))
    socket.on('error', () => undefined)
    socket.once('data', () => {
      this.#replayed++
      socket.end()
    })
    socket.resume()
    socket.write(request)
  }

  /** Whether nothing has passed from `from` to `to`, by `performance.now`. */
  wasClosed(from: number, to: number): boolean {
    return this.#closed.some((closed) => closed.from <= from && to <= closed.to)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const connection of this.#connections) connection.cut()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(client: Socket): void {
    if (this.#weather.kind === 'cut') {
      client.destroy()
      return
    }
    if (this.#answers !== undefined) {
      this.#http.emit('connection', this.#track(client))
      return
    }
    const connection: FaultyConnection = new FaultyConnection({
      client,
      target: connect(this.#target),
      weather: () => this.#weather,
      lines: this.#lines,
      onUp: (bytes) => this.#countUp(bytes),
      onDown: (piece) => this.#countDown(piece),
      onRequest: (request) => this.#record(request),
      breaksOff: () => {
        if (this.#resetsToCome === 0) return false
        this.#resetsToCome--
        this.#resets++
        return true
      },
      onEnd: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
    if (this.#weather.kind === 'half-open') connection.swallow()
  }

  #track(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    return socket
  }

  #countUp(bytes: number): boolean {
    this.#upUntilCut -= bytes
    if (this.#upUntilCut > 0) return true
    this.#upUntilCut = this.#cutEveryUp
    this.#cut()
    return false
  }

  #countDown(piece: Buffer): boolean {
    this.#flip(piece)
    this.#bytes += piece.length
    for (const [resolve, wanted] of this.#waiting) {
      if (this.#bytes < wanted) continue
      this.#waiting.delete(resolve)
      resolve()
    }
    if (this.#bytes < (this.#cutAt[this.#cuts] ?? Number.POSITIVE_INFINITY)) return true
    this.#cut()
    return false
  }

  #flip(piece: Buffer): void {
    const at = this.#flipAt - this.#bytes
    if (at < 0 || at >= piece.length) return
    piece.writeUInt8(piece.readUInt8(at) ^ 1, at)
    this.#flipAt = Number.POSITIVE_INFINITY
  }

  #cut(): void {
    this.#cuts++
    for (const connection of this.#connections) connection.cut()
  }

  #record(request: Buffer): void {
    if (!request.subarray(0, 64).includes(replicationPath)) return
    this.#recorded.push(request)
    if (this.#recorded.length > recordedMax) this.#recorded.shift()
  }

  #noteOpen(): void {
    const last = this.#closed.at(-1)
    if (last !== undefined) last.to = performance.now()
  }
}
