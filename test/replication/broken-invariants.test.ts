import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { defaultReplicationOptions } from '../../src/replication/options.ts'
import { createHttpReceiver } from '../../src/replication/receive/http-receiver.ts'
import { Receiver } from '../../src/replication/receive/receiver.ts'
import { decodeBatch } from '../../src/replication/wire/batch-codec.ts'
import { RemoteRefusedError } from '../../src/replication/wire/errors.ts'
import { replicationPaths } from '../../src/replication/wire/protocol.ts'
import { TicketBook } from '../../src/replication/wire/tickets.ts'
import { unhandledIn } from '../base/unhandled.ts'
import { emptyResponder } from './empty-site.ts'
import { settleTasks } from './manual-clock.ts'
import { MemoryBlobTransport } from './memory-network.ts'
import { MemoryPair, type PairOptions } from './memory-pair.ts'
import { MemorySink } from './memory-sink.ts'
import { identityOf } from './memory-site.ts'

const broken = new AssertionError('the books do not balance')
const breaks = (): never => {
  throw broken
}

type Breakage = (pair: MemoryPair) => void

/** What each part does that finds an invariant broken, and the size of the object that leads there. */
const breakages: readonly (readonly [string, number, Breakage])[] = [
  ['the load of a change', 10, (pair) => setAll(pair.feed, { loadChange: breaks })],
  ['the taking of places', 10, (pair) => setAll(pair.ledger, { take: async () => breaks() })],
  ['the settling of what was sent', 10, breakSettling],
  ['the record of a dead letter', 10, breakBurial],
  ['a handshake', 10, (pair) => setAll(pair.transport, { fault: breaks })],
  ['the probe of a remote that refused a change', 10, breakProbe],
  ['the store, given pulled bytes', 3 * 2 ** 20, breakAppend],
  ['the store, at the end of a pull', 3 * 2 ** 20, breakApply],
]

function setAll<T extends object>(target: T, changes: Partial<T>): void {
  Object.assign(target, changes)
}

function breakSettling(pair: MemoryPair): void {
  setAll(pair.ledger, { settle: async () => breaks() })
}

function breakBurial(pair: MemoryPair): void {
  pair.sink.intercept = () => ({ result: 'refused', code: 'NO', message: 'no' })
  setAll(pair.ledger, { bury: async () => breaks() })
}

function breakProbe(pair: MemoryPair): void {
  let refused = false
  pair.transport.fault = (call, _phase, bytes) => {
    if (call === 'handshake' && refused) breaks()
    refused = bytes !== undefined && decodeBatch(bytes).frames.length > 0
    if (refused) throw new RemoteRefusedError({ status: 400, remoteCode: '', message: 'no' })
  }
}

function breakAppend(pair: MemoryPair): void {
  const stage = pair.sink.stageUpload.bind(pair.sink)
  pair.sink.stageUpload = async (mutation) => {
    const upload = await stage(mutation)
    upload.append = async () => breaks()
    return upload
  }
}

function breakApply(pair: MemoryPair): void {
  pair.sink.intercept = ({ body }) => (body.kind === 'staged' ? breaks() : undefined)
}

describe('a broken invariant', () => {
  test.each(breakages)(
    'in %s is no answer, no retry and no dead letter',
    async (_, size, plant) => {
      const options: PairOptions = { options: { retryAttempts: 1, workers: 1 } }
      const pair = new MemoryPair(options)
      plant(pair)
      const seen = unhandledIn(async () => {
        pair.feed.write('key', Buffer.alloc(size, 1))
        pair.sender.start()
        await settleTasks(20)
        pair.clock.advance(6000)
        await settleTasks(20)
      })
      expect(await seen).toBe(broken)
      expect(pair.ledger.letters.size).toBe(0)
      expect(pair.ledger.counters()).toMatchObject({ pending: 1, failed: 0 })
    },
  )

  test('in a request is not answered', async () => {
    const clock = systemClock
    const random = seededRandom(1)
    const receiver = new Receiver({
      sink: new MemorySink(),
      identity: identityOf('site-b'),
      responder: emptyResponder(),
      head: () => 0,
      blobTransport: new MemoryBlobTransport(),
      rangeBytes: 2 ** 20,
      abandonedAfterMs: defaultReplicationOptions.abandonedAfterMs,
      takesCompressed: false,
      clock,
      random,
      logger: silentLogger,
    })
    receiver.batch = async () => breaks()
    const handle = createHttpReceiver({
      receiver,
      tickets: new TicketBook({ clock, random }),
      batchSize: 1,
      batchBytes: 1000,
      authorize: () => undefined,
      clock,
      logger: silentLogger,
    })
    const server = createServer((incoming, response) =>
      handle(incoming, response, incoming.url ?? ''),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    let answered = false
    const asking = request({ port, method: 'POST', path: replicationPaths.batch }, () => {
      answered = true
    })
    asking.on('error', () => undefined) // it is cut off at the end
    expect(await unhandledIn(() => asking.end('x'))).toBe(broken)
    await settleTasks()
    expect(answered).toBe(false)
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await receiver.close()
  })
})
