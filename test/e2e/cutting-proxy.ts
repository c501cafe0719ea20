import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP proxy that counts what the target sends, and cuts all connections when it is told to. */
export class CuttingProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #waiting = new Map<() => void, number>()
  #targetPort = 0
  #cutAfter: readonly number[] = []
  #cuts = 0
  #bytes = 0

  private constructor() {
    this.#server = createServer((socket) => this.#join(socket))
  }

  static async listen(): Promise<CuttingProxy> {
    const proxy = new CuttingProxy()
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

  /**
   * Passes connections to `url` from now on. All are cut after so many bytes from there as `cutAfter`
   * begins with, counted over all connections, and so on.
   */
  passTo(url: string, cutAfter: readonly number[] = []): void {
    this.#targetPort = Number(new URL(url).port)
    this.#cutAfter = cutAfter
  }

  /** Resolves when so many bytes have passed. */
  passed(bytes: number): Promise<void> {
    if (this.#bytes >= bytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.set(resolve, bytes))
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #join(client: Socket): void {
    const target = connect(this.#targetPort, '127.0.0.1')
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(from)
      // Either end may be killed by the test: that ends the other, too.
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    client.pipe(target)
    target.on('data', (piece: Buffer) => {
      this.#count(piece.length)
      if (this.#bytes >= (this.#cutAfter[this.#cuts] ?? Number.POSITIVE_INFINITY)) {
        this.#cuts++
        for (const socket of this.#sockets) socket.destroy()
      } else if (!client.write(piece)) target.pause()
    })
    client.on('drain', () => target.resume())
    target.on('end', () => client.end())
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    for (const [resolve, wanted] of this.#waiting) {
      if (this.#bytes < wanted) continue
      this.#waiting.delete(resolve)
      resolve()
    }
  }
}
