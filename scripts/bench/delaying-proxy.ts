/**
 * A TCP proxy that hands on every piece only after a while, in both directions, as a long line does:
 * what it holds is not bounded by the delay, so a line's bandwidth does not suffer.
 *
 *     node scripts/bench/delaying-proxy.ts URL MS_EACH_WAY
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const [url = '', ms = '10'] = process.argv.slice(2)
const { hostname, port } = new URL(url)
const delayMs = Number(ms)

interface Piece {
  /** Monotonic ms at which it is to be handed on. */
  readonly at: number
  readonly to: Socket
  readonly piece: Uint8Array
}

/** All pieces wait equally long, so the first that came is the first to go. */
const held: Piece[] = []
const never = new Int32Array(new SharedArrayBuffer(4))

const server = createServer({ noDelay: true }, (client) => {
  const target = connect({ host: hostname, port: Number(port), noDelay: true })
  pass(client, target)
  pass(target, client)
})

server.listen(0, '127.0.0.1', () => {
  console.info(String((server.address() as AddressInfo).port))
})
process.once('SIGTERM', () => process.exit(0))

/** Hands pieces on in their order, each when its time has come. */
function pass(from: Socket, to: Socket): void {
  from.on('data', (piece) => {
    held.push({ at: performance.now() + delayMs, to, piece })
    if (held.length === 1) arm()
  })
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}

/** A timer is late by up to two milliseconds, a tenth of the line: it is set early, and the rest waited out. */
function arm(): void {
  const [next] = held
  if (next === undefined) return
  setTimeout(release, Math.max(0, Math.floor(next.at - performance.now()) - 1))
}

function release(): void {
  for (let next = held[0]; next !== undefined; next = held[0]) {
    const remaining = next.at - performance.now()
    if (remaining > 2) break
    if (remaining > 0) Atomics.wait(never, 0, 0, remaining)
    held.shift()
    next.to.write(next.piece)
  }
  arm()
}
