/** A TCP proxy on loopback that counts the bytes which pass it, in both directions. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface CountingProxy {
  readonly port: number
  /** Where connections lead; they are refused until it is set. */
  target: number | undefined
  readonly bytes: () => number
  close(): Promise<void>
}

export async function startCountingProxy(): Promise<CountingProxy> {
  let bytes = 0
  const sockets = new Set<Socket>()
  const proxy = { target: undefined as number | undefined }
  const server = createServer((near) => {
    if (proxy.target === undefined) {
      near.destroy()
      return
    }
    const far = connect(proxy.target, '127.0.0.1')
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from)
      from.on('data', (piece: Buffer) => {
        bytes += piece.length
      })
      from.on('error', () => to.destroy())
      from.once('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the proxy has no port')
  return Object.assign(proxy, {
    port: address.port,
    bytes: () => bytes,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  })
}
