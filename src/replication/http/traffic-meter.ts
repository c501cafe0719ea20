/** Counts what connections really carry, framing and encryption included. */
import type { Socket } from 'node:net'
import type { buildConnector } from 'undici'
import type { Traffic } from '../wire/traffic.ts'

/** Of all connections that were ever made through it. */
export class TrafficMeter {
  readonly #sockets = new Set<Socket>()
  #sentBytes = 0
  #receivedBytes = 0

  /** A connector for an undici client. */
  counting(connect: buildConnector.connector): buildConnector.connector {
    return (target, callback) =>
      connect(target, (...connected) => {
        const [, socket] = connected
        // Absent, not null, when there is no connection.
        if (socket) this.#watch(socket)
        callback(...connected)
      })
  }

  total(): Traffic {
    let sentBytes = this.#sentBytes
    let receivedBytes = this.#receivedBytes
    for (const socket of this.#sockets) {
      sentBytes += socket.bytesWritten
      receivedBytes += socket.bytesRead
    }
    return { sentBytes, receivedBytes }
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#sentBytes += socket.bytesWritten
      this.#receivedBytes += socket.bytesRead
    })
  }
}
