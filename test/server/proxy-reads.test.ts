import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent, request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { encodeBatch } from '../../src/replication/wire/batch-codec.ts'
import { replicationPaths } from '../../src/replication/wire/protocol.ts'
import { parseReadQuestion } from '../../src/replication/wire/read-documents.ts'
import { encodeMutation } from '../../src/store/model/mutation.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { NotYet, until } from '../e2e/until.ts'
import { parseMetrics } from './parse-metrics.ts'
import { type Answer, remoteAt, type SendOptions, TestSite } from './test-site.ts'

const token = 'a-token-for-either-site-to-read-the-other'
const large = Buffer.from(seededRandom(1).bytes(3 * 2 ** 20))

const reading = (url: string) => ({
  server: { siteId: 'site-b' },
  replication: {
    enabled: true,
    remotes: [remoteAt(url, token)],
    retryDelayMs: 200,
    proxyReads: true,
    proxyTimeoutMs: 20_000,
  },
})

async function metric(site: TestSite, series: string): Promise<number | undefined> {
  const { body } = await site.send('GET', '/admin/metrics')
  return parseMetrics(body.toString()).get(series)
}

/** Site B ships to A and reads from there; A ships nothing, so what it has never arrives at B. */
describe('a site that reads from its remote', () => {
  let a: TestSite
  let b: TestSite

  beforeAll(async () => {
    a = await (await TestSite.make()).start({
      server: { siteId: 'site-a' },
      replication: { acceptTokens: [token] },
    })
    b = await (await TestSite.make()).start(reading(a.url))
    const headers = { 'content-type': 'text/plain', 'x-amz-meta-author': 'somebody' }
    await a.send('PUT', '/docs/small', { body: 'from site a', headers })
    await a.send('PUT', '/docs/large', { body: large })
    await a.send('PUT', '/docs/empty')
  })

  afterAll(async () => {
    await b.remove()
    await a.remove()
  })

  const read = (path: string, options: SendOptions = {}): Promise<Answer> =>
    b.send('GET', path, options)

  it('answers with the remote object, says whose it is, and keeps nothing', async () => {
    const [own, proxied] = [await a.send('GET', '/docs/small'), await read('/docs/small')]
    expect(proxied.status).toBe(200)
    expect(proxied.body.toString()).toBe('from site a')
    expect(proxied.headers['x-comio-proxied-from']).toBe('site-a')
    for (const name of ['etag', 'last-modified', 'content-type', 'x-amz-meta-author']) {
      expect(proxied.headers[name]).toBe(own.headers[name])
    }
    expect((await read('/docs/large')).body.equals(large)).toBe(true)
    expect((await read('/docs/empty')).headers).toMatchObject({
      'content-length': '0',
      'x-comio-proxied-from': 'site-a',
    })
    const head = await b.send('HEAD', '/docs/large')
    expect(head.headers).toMatchObject({
      'content-length': String(large.length),
      'x-comio-proxied-from': 'site-a',
    })
    expect(await metric(b, 'comio_store_objects')).toBe(0)
    expect((await read('/docs?list-type=2')).body.toString()).toContain('NoSuchBucket')
    expect(await metric(b, 'comio_proxied_reads_total{result="served"}')).toBe(4)
    const bytes = 'from site a'.length + large.length
    expect(await metric(b, 'comio_proxied_read_bytes_total')).toBe(bytes)
  })

  it('deletes what it shows, there too', async () => {
    await a.send('PUT', '/docs/seen-and-deleted', { body: 'x' })
    expect((await read('/docs/seen-and-deleted')).status).toBe(200)
    expect((await b.send('DELETE', '/docs/seen-and-deleted')).status).toBe(204)
    expect((await read('/docs/seen-and-deleted')).status).toBe(404)
    await until('it is deleted there', async () => {
      const { status } = await a.send('HEAD', '/docs/seen-and-deleted')
      return status === 404 ? true : new NotYet(status)
    })
    await a.send('PUT', '/docs/conditional', { body: 'x' })
    const headers = { 'if-match': '*' }
    expect((await b.send('DELETE', '/docs/conditional', { headers })).status).toBe(412)
    expect((await read('/docs/conditional')).status).toBe(200)
  })

  it('honours ranges and conditions as with objects of its own', async () => {
    const { headers } = await b.send('HEAD', '/docs/large')
    const etag = String(headers.etag)
    const part = await read('/docs/large', { headers: { range: 'bytes=1000000-2499999' } })
    expect(part.status).toBe(206)
    expect(part.headers['content-range']).toBe(`bytes 1000000-2499999/${large.length}`)
    expect(part.body.equals(large.subarray(1_000_000, 2_500_000))).toBe(true)
    const tail = await read('/docs/small', { headers: { range: 'bytes=-6' } })
    expect(tail.body.toString()).toBe('site a')
    const unchanged = await read('/docs/large', { headers: { 'if-none-match': etag } })
    expect(unchanged.status).toBe(304)
    expect(unchanged.headers['x-comio-proxied-from']).toBe('site-a')
    const changed = await read('/docs/large', { headers: { 'if-match': '"other"' } })
    expect(changed.status).toBe(412)
    const beyond = await read('/docs/small', { headers: { range: 'bytes=100-' } })
    expect(beyond.status).toBe(416)
  })

  it('says that there is none when the remote has none, or when it is deleted', async () => {
    expect((await read('/docs/none')).status).toBe(404)
    await b.send('PUT', '/docs/own', { body: 'own' })
    expect((await read('/docs/own')).headers['x-comio-proxied-from']).toBeUndefined()
    await b.send('DELETE', '/docs/own')
    expect((await read('/docs/own')).status).toBe(404)
    expect(await metric(b, 'comio_proxied_reads_total{result="absent"}')).toBeGreaterThan(0)
  })

  it('is asked with a token of replication only', async () => {
    for (const [method, path] of [
      ['POST', replicationPaths.read],
      ['PUT', replicationPaths.mend],
    ] as const) {
      const wrong = { headers: { authorization: 'Bearer something-else' }, body: '{}' }
      expect((await a.send(method, path, wrong)).status).toBe(401)
      const headers = { authorization: `Bearer ${token}` }
      expect((await a.send(method, path, { headers, body: '{}' })).status).toBe(400)
    }
  })

  it('does not ask on: a question is answered from what the asked site holds itself', async () => {
    const third = await TestSite.make()
    try {
      await third.start({
        server: { siteId: 'site-c' },
        replication: { ...reading(b.url).replication, acceptTokens: [] },
      })
      const { status } = await third.send('GET', '/docs/small')
      expect(status).toBe(404)
    } finally {
      await third.remove()
    }
  })

  it('says that there is none while the remote is down, and counts it', async () => {
    const { port } = new URL(a.url)
    await a.stop()
    try {
      for (let i = 0; i < 3; i++) expect((await read('/docs/small')).status).toBe(404)
      expect(await metric(b, 'comio_proxied_reads_total{result="unreachable"}')).toBe(3)
    } finally {
      await a.start({
        server: { siteId: 'site-a', port: Number(port) },
        replication: { acceptTokens: [token] },
      })
    }
  })
})

/** Has an object that is larger than any client waits for, and hands out as much as is taken. */
class EndlessRemote {
  readonly #server: Server
  readonly size = 2 ** 33
  answering: ServerResponse | undefined
  sent = 0
  /** Breaks off when so much was sent. */
  cutAt = Number.POSITIVE_INFINITY

  constructor() {
    this.#server = createServer((request, response) => {
      if (request.url !== replicationPaths.read) return void response.writeHead(503).end()
      void request.toArray().then((pieces) => this.#answer(String(Buffer.concat(pieces)), response))
    })
  }

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #answer(text: string, response: ServerResponse): void {
    const question = parseReadQuestion(text)
    if (question.ask === 'object') {
      const version = makeVersion(Date.now(), 0, 'site-a')
      const meta = {
        size: this.size,
        etag: '0'.repeat(32),
        contentHash: { algorithm: 'sha256' as const, digest: Buffer.alloc(32) },
        lastModified: 0,
        headers: {},
        userMetadata: {},
      }
      const { slot } = question
      const encoded = encodeMutation({ kind: 'put', slot, version, context: [], meta })
      const body = { kind: 'withheld' as const, length: this.size }
      const header = { session: 'site-a', volumeId: 'v', incarnation: 'i', through: 0 }
      response.end(Buffer.concat(encodeBatch(header, [{ seq: 1, encoded, body }])))
      return
    }
    response.writeHead(200, { 'content-length': question.end - question.start })
    this.answering = response
    const piece = Buffer.alloc(256 * 1024)
    const write = (): void => {
      do this.sent += piece.length
      while (response.write(piece) && !response.destroyed)
      if (this.sent > this.cutAt) response.destroy()
    }
    response.on('drain', write)
    write()
  }
}

describe('a remote that hands out more than anybody takes', () => {
  const agent = new Agent()
  let remote: EndlessRemote
  let b: TestSite

  beforeAll(async () => {
    remote = new EndlessRemote()
    b = await TestSite.make()
    await b.start(reading(await remote.open()))
  })

  afterAll(async () => {
    await agent.close()
    await b.remove()
    await remote.close()
  })

  const get = () => request(`${b.url}/box/endless`, { dispatcher: agent })

  it('is taken from no faster than the client takes, and left when the client leaves', async () => {
    const { headers, body } = await get()
    expect(headers['content-length']).toBe(String(remote.size))
    let taken = 0
    for await (const piece of body) {
      taken += piece.length
      if (taken > 8 * 2 ** 20) break
    }
    const { answering } = remote
    if (answering === undefined) throw new Error('nobody was asked for bytes')
    if (!answering.destroyed) await once(answering, 'close')
    // What is beyond lies in sockets and streams on the way.
    expect(remote.sent - taken).toBeLessThan(64 * 2 ** 20)
    expect(await metric(b, 'comio_proxied_reads_total{result="cut"}')).toBe(0)
  })

  it('that breaks off in the middle cuts the answer, which is counted', async () => {
    remote.sent = 0
    remote.cutAt = 8 * 2 ** 20
    const { statusCode, body } = await get()
    expect(statusCode).toBe(200)
    const whole = async (): Promise<void> => {
      for await (const _ of body);
    }
    await expect(whole()).rejects.toThrow()
    expect(await metric(b, 'comio_proxied_reads_total{result="cut"}')).toBe(1)
  })
})
