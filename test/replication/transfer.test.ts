import { request } from 'node:http'
import { zstdCompressSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { bytesOf } from '../e2e/content.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { eventually, goodToken, HttpSite, type HttpSiteOptions } from './http-site.ts'

const mib = 2 ** 20
const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function openPair(
  a: Partial<HttpSiteOptions> = {},
  b: Partial<HttpSiteOptions> = {},
): Promise<readonly [HttpSite, HttpSite]> {
  const siteA = await HttpSite.open({ siteId: 'site-a', ...a })
  opened.push(siteA)
  const siteB = await HttpSite.open({ siteId: 'site-b', ...b })
  opened.push(siteB)
  return [siteA, siteB]
}

const settled = (site: HttpSite): Promise<void> =>
  eventually(() => site.ledger.counters().pending === 0, 'nothing is pending')

const text = (size: number): Buffer =>
  Buffer.from('all work and no play. '.repeat(Math.ceil(size / 22))).subarray(0, size)

async function expectSame(b: HttpSite, bucket: string, bodies: Record<string, Buffer>) {
  for (const [key, body] of Object.entries(bodies)) {
    expect((await b.store.get(bucket, key))?.equals(body)).toBe(true)
  }
}

/** Nobody listens there. */
const nowhere = 'http://127.0.0.1:9'

describe('compression', () => {
  test.each(['pull', 'push'] as const)(
    'makes batches and large objects small on the wire, and says how much it saved (%s)',
    async (transfer) => {
      const [a, b] = await openPair({ options: { transfer } })
      const bodies = { small: text(200_000), large: text(9 * mib) }
      for (const [key, body] of Object.entries(bodies)) await a.store.put('texts', key, body)
      await a.connectTo({ url: b.url })
      await settled(a)
      await expectSame(b, 'texts', bodies)
      const { wireBytes, savedBytes } = await a.status()
      expect(wireBytes).toBeLessThan(mib)
      expect(wireBytes + savedBytes).toBeGreaterThan(9 * mib)
    },
  )

  test('is not tried on what is random', async () => {
    const [a, b] = await openPair()
    const bodies = { small: bytesOf(1, 200_000), large: bytesOf(2, 5 * mib) }
    for (const [key, body] of Object.entries(bodies)) await a.store.put('noise', key, body)
    await a.connectTo({ url: b.url })
    await settled(a)
    await expectSame(b, 'noise', bodies)
    const { wireBytes, savedBytes } = await a.status()
    expect(savedBytes).toBe(0)
    expect(wireBytes).toBeGreaterThan(5 * mib)
  })

  test.each([
    ['the sender', { compression: 'off' }, {}],
    ['the receiver', {}, { compression: 'off' }],
  ] as const)('is left out when %s does not want it', async (_who, forA, forB) => {
    const [a, b] = await openPair(forA, forB)
    const bodies = { small: text(200_000), large: text(3 * mib) }
    for (const [key, body] of Object.entries(bodies)) await a.store.put('texts', key, body)
    await a.connectTo({ url: b.url })
    await settled(a)
    await expectSame(b, 'texts', bodies)
    const { wireBytes, savedBytes } = await a.status()
    expect(savedBytes).toBe(0)
    expect(wireBytes).toBeGreaterThan(3 * mib)
  })

  test('opens no batch that is larger than it says, or than this site takes', async () => {
    const [, b] = await openPair({}, { options: { batchBytes: 1000, batchSize: 1 } })
    const bomb = zstdCompressSync(Buffer.alloc(64 * mib))
    const send = (length: number): Promise<number> =>
      post(`${b.url}/admin/replication/batch`, bomb, { 'comio-decoded-length': String(length) })
    expect(await send(1000)).toBe(400)
    expect(await send(64 * mib)).toBe(413)
  })
})

describe('a site that the other one cannot reach', () => {
  test('has its large objects pushed, through every cut, without a second beginning', async () => {
    const [a, b] = await openPair({ compression: 'off' })
    const proxy = await FaultProxy.listen(b.url)
    opened.push(proxy)
    const bodies = { one: bytesOf(1, 12 * mib), two: bytesOf(2, 3 * mib), small: text(100) }
    for (const [key, body] of Object.entries(bodies)) await a.store.put('films', key, body)
    proxy.cutEveryUp(4 * mib)
    await a.connectTo({ url: proxy.url, advertiseUrl: nowhere })
    await settled(a)
    await expectSame(b, 'films', bodies)
    // Cut every 4 MiB, 12 MiB arrive only by going on where they were.
    expect(proxy.cuts).toBeGreaterThan(1)
    expect(a.ledger.counters()).toMatchObject({ failed: 0 })
  })
})

describe('a limit of bandwidth', () => {
  test.each(['pull', 'push'] as const)(
    'holds for large objects, lets small changes through beside them, and can be lifted (%s)',
    async (transfer) => {
      const limit = 2 * mib
      const [a, b] = await openPair({ options: { transfer }, bandwidthLimit: limit })
      const film = bytesOf(1, 40 * mib)
      await a.store.put('films', 'film', film)
      const start = performance.now()
      await a.connectTo({ url: b.url })
      await eventually(async () => (await a.status()).wireBytes > mib / 2, 'the film is moving')
      await a.store.put('films', 'note', 'a small one')
      await eventually(
        () => b.store.engine.headObject({ bucket: 'films', key: 'note' }) !== undefined,
        'the note has come',
      )
      const { wireBytes, pulling } = await a.status()
      const seconds = (performance.now() - start) / 1000
      expect(wireBytes).toBeLessThan(limit * (seconds + 0.2) + 64 * 1024)
      expect(pulling).toBe(1)
      a.traffic?.bandwidth.change(0)
      await settled(a)
      await expectSame(b, 'films', { film })
    },
  )
})

function post(url: string, body: Buffer, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const authorization = `Bearer ${goodToken}`
    const encoding = { authorization, 'content-encoding': 'zstd', 'content-length': body.length }
    const sent = request(
      url,
      { method: 'POST', headers: { ...encoding, ...headers } },
      (answer) => {
        answer.resume()
        answer.on('end', () => resolve(answer.statusCode ?? 0))
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}
