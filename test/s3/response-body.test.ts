import { Writable } from 'node:stream'
import { expect, it } from 'vitest'
import type { Exchange } from '../../src/s3/exchange.ts'
import { progressBytes } from '../../src/s3/limits.ts'
import { ProgressWatch } from '../../src/s3/progress-watch.ts'
import { writePieces } from '../../src/s3/response-body.ts'
import { ManualClock } from '../replication/manual-clock.ts'

const idleMs = 60_000

/** A client that takes what it was sent when it is told to. */
class SlowClient extends Writable {
  readonly socket = {}
  readonly taken: number[] = []
  #take: (() => void) | undefined
  #offered: (() => void) | undefined

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    this.#take = () => {
      this.taken.push(bytes.length)
      done()
    }
    this.#offered?.()
  }

  offered(): Promise<void> {
    return this.#take === undefined
      ? new Promise((resolve) => {
          this.#offered = resolve
        })
      : Promise.resolve()
  }

  take(): void {
    const take = this.#take
    this.#take = undefined
    take?.()
  }
}

it('a client that takes a part of a piece in each idle time is not cut off, and one that takes nothing is', async () => {
  const clock = new ManualClock()
  const client = new SlowClient()
  const exchange = { response: client, bytesOut: 0 } as unknown as Exchange
  const pieces = [Buffer.alloc(4 * progressBytes), Buffer.alloc(progressBytes)]
  const written = writePieces(exchange, pieces, new ProgressWatch({ clock, idleMs }))
  for (let part = 0; part < 4; part++) {
    await client.offered()
    clock.advance(0.9 * idleMs)
    client.take()
  }
  await client.offered()
  expect(client.destroyed).toBe(false)
  expect(exchange.bytesOut).toBe(4 * progressBytes)
  clock.advance(1.5 * idleMs)
  await written
  expect(client.destroyed).toBe(true)
  expect(client.taken).toEqual(Array.from({ length: 4 }, () => progressBytes))
})
