/** PUTs from this process: so many at a time, or so many a second whatever the site makes of it. */
import { randomFillSync } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import { Histogram } from '../../src/bench/histogram.ts'

export interface PutOrder {
  readonly url: string
  /** Before the running number, such as `/bench/o-`. */
  readonly path: string
  readonly bytes: number
  readonly connections: number
}

/** Writes `count` objects, `connections` at a time; resolves to the seconds that it took. */
export async function putMany(order: PutOrder & { readonly count: number }): Promise<number> {
  const putter = new Putter(order)
  let next = 0
  const writer = async (): Promise<void> => {
    while (next < order.count) await putter.put(next++)
  }
  const began = performance.now()
  try {
    await Promise.all(Array.from({ length: order.connections }, writer))
    return (performance.now() - began) / 1000
  } finally {
    await putter.close()
  }
}

/**
 * Writes at a fixed rate. Latencies count from when a PUT was due and not from when it was sent: a
 * site that stalls is charged for all that would have been written meanwhile.
 */
export async function putSteadily(
  order: PutOrder & { readonly perSecond: number; readonly seconds: number },
): Promise<Histogram> {
  const putter = new Putter(order)
  const latencies = new Histogram()
  const total = Math.floor(order.perSecond * order.seconds)
  const running = new Set<Promise<void>>()
  const began = performance.now()
  try {
    for (let sent = 0; sent < total; ) {
      const due = Math.min(total, ((performance.now() - began) / 1000) * order.perSecond)
      for (; sent < due; sent++) {
        const dueAt = began + (sent / order.perSecond) * 1000
        const put = putter.put(sent).then(() => {
          latencies.record(Math.max(0, performance.now() - dueAt))
          running.delete(put)
        })
        running.add(put)
      }
      await delay(1)
    }
    await Promise.all(running)
    return latencies
  } finally {
    await putter.close()
  }
}

class Putter {
  readonly #pool: Pool
  readonly #path: string
  readonly #bytes: number
  readonly #content: Buffer

  constructor({ url, path, bytes, connections }: PutOrder) {
    this.#pool = new Pool(url, { connections, pipelining: 1 })
    this.#path = path
    this.#bytes = bytes
    this.#content = randomFillSync(Buffer.allocUnsafe(contentBytes(bytes)))
  }

  async put(number: number): Promise<void> {
    const path = `${this.#path}${number}`
    const { statusCode, body } = await this.#pool.request({
      path,
      method: 'PUT',
      body: this.#bodyOf(number),
    })
    await body.dump()
    if (statusCode !== 200) throw new Error(`PUT ${path} was answered with ${statusCode}`)
  }

  /** Random, and not what the last ones had either, so that nothing on the way can make them smaller. */
  #bodyOf(number: number): Buffer {
    const places = Math.floor(this.#content.length / this.#bytes)
    const at = (number % places) * this.#bytes
    return this.#content.subarray(at, at + this.#bytes)
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}

/** More than is compressed together. */
const contentBytes = (bytes: number): number => Math.max(bytes, 32 * 2 ** 20)
