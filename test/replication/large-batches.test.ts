/** Batches whose bodies are large: what is sent as it is, comes in pieces, and is given back. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { createHttpTransport } from '../../src/replication/http/http-transport.ts'
import { RemoteProtocolError, RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import type { RemoteTransport } from '../../src/replication/wire/transport.ts'
import { bytesOf } from '../e2e/content.ts'
import { eventually, goodToken, HttpSite, type HttpSiteOptions } from './http-site.ts'
import { MemoryPair, unlimitedTraffic } from './memory-pair.ts'

const mib = 2 ** 20
const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

const text = (size: number): Buffer =>
  Buffer.from('all work and no play. '.repeat(Math.ceil(size / 22))).subarray(0, size)

describe('bodies of many sizes in one batch', () => {
  const sizes = [0, 300, 5000, 70_000, 131_072, 262_144, 262_145, 300_001, mib - 1, mib]

  test.each<[string, Partial<HttpSiteOptions>, (size: number) => Buffer]>([
    ['as they are', {}, (size) => bytesOf(size + 1, size)],
    ['compressed', {}, text],
    ['over a limited link', { bandwidthLimit: 32 * mib }, (size) => bytesOf(size + 1, size)],
  ])('arrive whole %s', async (_, options, contentOf) => {
    const a = await HttpSite.open({ siteId: 'site-a', ...options })
    const b = await HttpSite.open({ siteId: 'site-b' })
    opened.push(a, b)
    for (const size of sizes) await a.store.put('films', `film-${size}`, contentOf(size))
    const apply = vi.spyOn(b.store.engine, 'apply')
    await a.connectTo({ url: b.url })
    await eventually(() => a.ledger.counters().pending === 0, 'nothing is pending')
    for (const size of sizes) {
      const arrived = await b.store.get('films', `film-${size}`)
      expect(arrived?.equals(contentOf(size)), `${size} bytes`).toBe(true)
    }
    const pieces = apply.mock.calls
      .flatMap(([changes]) => changes)
      .flatMap(({ body }) => (body.kind === 'passing' ? body.pieces : []))
    expect(pieces.length).toBeGreaterThan(0)
    expect(pieces.every(({ length }) => length === 0)).toBe(true)
  })
})

describe('a sender', () => {
  const large = bytesOf(7, 230_000)

  function sendingPair(): { pair: MemoryPair; sent: (readonly Uint8Array[])[] } {
    const pair = new MemoryPair()
    opened.push(pair)
    const sent: (readonly Uint8Array[])[] = []
    const send = pair.transport.sendBatch.bind(pair.transport)
    pair.transport.sendBatch = (pieces, signal) => {
      if (pieces.length > 1) sent.push(pieces)
      return send(pieces, signal)
    }
    pair.feed.write('large', large)
    pair.feed.write('small', Buffer.from('small'))
    return { pair, sent }
  }

  test('gives back what it has read for a batch once that was answered, and nothing else', async () => {
    const { pair, sent } = sendingPair()
    pair.sender.start()
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body).toEqual(large)
    expect(pair.sink.slots.get('o/box/small')?.body).toEqual(Buffer.from('small'))
    const [pieces = []] = sent
    const gone = pieces.filter(({ length }) => length === 0)
    expect(gone).toHaveLength(Math.ceil(large.length / 65_536))
    pair.feed.write('again', Buffer.from('what the feed holds is still there'))
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('touches nothing of a batch that failed, since it may be on its way still', async () => {
    const { pair, sent } = sendingPair()
    pair.transport.fault = (call, phase) => {
      if (call === 'batch' && phase === 'after' && sent.length === 1) {
        throw new RemoteUnreachableError('cut')
      }
    }
    pair.sender.start()
    await pair.settled()
    expect(sent.length).toBeGreaterThan(1)
    expect(sent[0]?.every(({ length }) => length > 0)).toBe(true)
    expect(pair.sink.slots.get('o/box/large')?.body).toEqual(large)
  })
})

describe('a batch over HTTP', () => {
  async function remoteThat(
    handle: (...of: Parameters<Extract<Parameters<typeof createServer>[1], object>>) => void,
  ): Promise<RemoteTransport> {
    const server: Server = createServer(handle as never).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const transport = createHttpTransport({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      token: goodToken,
      ...{ workers: 1, allowPlaintext: false, clock: systemClock },
      traffic: unlimitedTraffic(systemClock),
    })
    opened.push(
      { close: async () => server.close() },
      { close: async () => server.closeAllConnections() },
      transport,
    )
    return transport
  }

  test('is not answered before all of it was taken: such an answer counts for nothing', async () => {
    const transport = await remoteThat((_request, response) => {
      response.writeHead(200, { 'content-length': 2 })
      response.end('ok')
    })
    const pieces = Array.from({ length: 64 }, () => bytesOf(1, mib))
    const sending = transport.sendBatch(pieces, new AbortController().signal)
    await expect(sending).rejects.toThrow(RemoteProtocolError)
  })

  test('carries pieces of any size in their order', async () => {
    const received: Buffer[] = []
    const transport = await remoteThat((request, response) => {
      request.on('data', (piece: Buffer) => received.push(piece))
      request.on('end', () => response.end('ok'))
    })
    const sizes = [1, 130_000, 131_072, 5, 262_145, 0, 64_000, 64_000, 64_000, 64_000, 64_000, 3]
    const pieces = sizes.map((size, index) => bytesOf(index, size))
    const answer = await transport.sendBatch(pieces, new AbortController().signal)
    expect(answer.toString()).toBe('ok')
    expect(Buffer.concat(received).equals(Buffer.concat(pieces))).toBe(true)
  })
})
