import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { NotYet, until } from './until.ts'

/** A TCP proxy that holds what is sent to the target for as long as it is told to. */
export class HoldingProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #targetPort = 0
  #held: { readonly to: Socket; readonly bytes: Buffer }[] | undefined

  private constructor() {
    this.#server = createServer((socket) => this.#join(socket))
  }

  static async listen(): Promise<HoldingProxy> {
    const proxy = new HoldingProxy()
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  passTo(url: string): void {
    this.#targetPort = Number(new URL(url).port)
  }

  hold(): void {
    this.#held ??= []
  }

  /** Resolves when something with `words` in it is held. */
  async holds(words: string): Promise<void> {
    await until(`${words} is on its way`, async () => {
      const said = Buffer.concat((this.#held ?? []).map(({ bytes }) => bytes))
      return said.includes(words) ? true : new NotYet(said.length)
    })
  }

  release(): void {
    for (const { to, bytes } of this.#held ?? []) to.write(bytes)
    this.#held = undefined
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
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    client.on('data', (bytes: Buffer) => {
      if (this.#held === undefined) target.write(bytes)
      else this.#held.push({ to: target, bytes })
    })
    target.pipe(client)
  }
}
