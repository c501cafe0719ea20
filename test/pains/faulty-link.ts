/** A link between two sites that fails as it is told to: it refuses, says nothing, cuts, or turns a bit over. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** `hold` takes connections and bytes, and gives nothing back. */
export type Conduct = 'pass' | 'refuse' | 'hold'

export class FaultyLink {
  /** Bytes that came back from the target. */
  passed = 0
  cuts = 0
  /** All connections are cut when so many bytes have come back, and so on. */
  cutAt: readonly number[] = []
  /** In the byte that comes back at this place a bit is turned over, once. */
  flipAt = Number.POSITIVE_INFINITY
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #conduct: Conduct = 'refuse'
  #targetPort = 0

  private constructor() {
    this.#server = createServer((socket) => this.#join(socket))
  }

  static async open(): Promise<FaultyLink> {
    const link = new FaultyLink()
    link.#server.listen(0, '127.0.0.1')
    await once(link.#server, 'listening')
    return link
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** From now on; connections that are open end. */
  set(conduct: Conduct, targetUrl = ''): void {
    this.#conduct = conduct
    if (targetUrl !== '') this.#targetPort = Number(new URL(targetUrl).port)
    this.#cut()
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#cut()
    await closed
  }

  #join(client: Socket): void {
    this.#keep(client)
    if (this.#conduct === 'refuse') client.destroy()
    else if (this.#conduct === 'hold') client.resume()
    else this.#pass(client, this.#keep(connect(this.#targetPort, '127.0.0.1')))
  }

  #pass(client: Socket, target: Socket): void {
    client.on('close', () => target.destroy())
    target.on('close', () => client.destroy())
    client.pipe(target)
    target.on('data', (piece: Buffer) => {
      const at = this.flipAt - this.passed
      this.passed += piece.length
      if (at >= 0 && at < piece.length) {
        piece.writeUInt8(piece.readUInt8(at) ^ 1, at)
        this.flipAt = Number.POSITIVE_INFINITY
      }
      if (this.passed >= (this.cutAt[this.cuts] ?? Number.POSITIVE_INFINITY)) {
        this.cuts++
        this.#cut()
      } else if (!client.write(piece)) target.pause()
    })
    client.on('drain', () => target.resume())
    target.on('end', () => client.end())
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    // Broken connections are the point here: both ends see theirs.
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
    return socket
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
