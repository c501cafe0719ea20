/**
 * A TCP proxy that hands on every piece only after a while, in both directions, as a long line does:
 * what it holds is not bounded by the delay, so a line's bandwidth does not suffer.
 *
 *     node scripts/bench/delaying-proxy.ts URL MS_EACH_WAY
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

const [url = '', ms = '10'] = process.argv.slice(2)
const { hostname, port } = new URL(url)

const server = createServer({ noDelay: true }, (client) => {
  const target = connect({ host: hostname, port: Number(port), noDelay: true })
  pass(client, target)
  pass(target, client)
})

server.listen(0, '127.0.0.1', () => {
  console.info(String((server.address() as AddressInfo).port))
})
process.once('SIGTERM', () => process.exit(0))

function pass(from: Socket, to: Socket): void {
  from.on('data', async (piece) => {
    await pause(Number(ms))
    to.write(piece)
  })
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}
