/** What a thread beside the store's sends of an object that is larger than a socket takes at once. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { ByteBudget } from '../../src/base/byte-budget.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { createFrontHandler } from '../../src/s3/front-handler.ts'
import type { ObjectAtHand } from '../../src/s3/operations/get-object.ts'
import type { RequestObservation } from '../../src/server/metrics/request-tally.ts'

const mib = 2 ** 20
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** An object of two pieces, of which it is noted what the budget held when they were read. */
class TwoPieces implements ObjectAtHand {
  readonly info: ObjectAtHand['info']
  readonly pieces: readonly Buffer[]
  readonly held: number[] = []
  readonly #budget: ByteBudget

  constructor(size: number, budget: ByteBudget) {
    const meta = { size, etag: '0'.repeat(32), lastModified: 0, headers: {}, userMetadata: {} }
    this.info = { bucket: 'docs', key: 'a', meta } as unknown as ObjectAtHand['info']
    this.pieces = [Buffer.alloc(size / 4, 'a'), Buffer.alloc((size * 3) / 4, 'b')]
    this.#budget = budget
  }

  readNow(): undefined {
    return undefined
  }

  readPiecesNow(): readonly Buffer[] {
    this.held.push(this.#budget.heldBytes)
    return this.pieces
  }
}

async function get(object: ObjectAtHand, budget: ByteBudget) {
  const { promise: observed, resolve } = Promise.withResolvers<RequestObservation>()
  const handle = createFrontHandler({
    ...{ clock: systemClock, random: seededRandom(1), logger: silentLogger, budget },
    ...{ autoCreateBuckets: false, find: () => object, mayAnswer: () => true, observe: resolve },
    store: { putObject: () => Promise.reject(new Error('nothing is stored')) },
    passOn: (_request, response) => void response.end('passed on'),
  })
  const server = createServer(handle).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/docs/a`)
  return { body: await answer.text(), observed }
}

test('it holds its part of the budget until the socket has all of it, and gives its memory back', async () => {
  const budget = new ByteBudget({ clock: systemClock, capacityBytes: 2 * mib })
  const object = new TwoPieces(mib, budget)
  const { body, observed } = await get(object, budget)
  expect(body).toBe('a'.repeat(mib / 4) + 'b'.repeat((mib * 3) / 4))
  expect(object.held).toEqual([mib])
  expect(await observed).toMatchObject({ operation: 'GetObject', status: 200, bytesOut: mib })
  expect(budget.heldBytes).toBe(0)
  expect(object.pieces.map(({ length }) => length)).toEqual([0, 0])
})

test('it is passed on unread where it would take more than half of the budget, or is too large', async () => {
  const small = new ByteBudget({ clock: systemClock, capacityBytes: 2 * mib - 1 })
  const large = new ByteBudget({ clock: systemClock, capacityBytes: 64 * mib })
  for (const [size, budget] of [
    [mib, small],
    [mib + 4, large],
  ] as const) {
    const object = new TwoPieces(size, budget)
    expect((await get(object, budget)).body).toBe('passed on')
    expect([object.held, budget.heldBytes]).toEqual([[], 0])
  }
})

test('it is passed on where it cannot be read in one go, and nothing stays held', async () => {
  const budget = new ByteBudget({ clock: systemClock, capacityBytes: 2 * mib })
  const object = Object.assign(new TwoPieces(mib, budget), { readPiecesNow: () => undefined })
  expect((await get(object, budget)).body).toBe('passed on')
  expect(budget.heldBytes).toBe(0)
})
