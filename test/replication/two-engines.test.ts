import { afterEach, describe, expect, test } from 'vitest'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { eventually, goodToken, HttpSite, type HttpSiteOptions } from './http-site.ts'

const mib = 2 ** 20
const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function openSite(options: HttpSiteOptions): Promise<HttpSite> {
  const site = await HttpSite.open(options)
  opened.push(site)
  return site
}

async function openProxy(target: string): Promise<FaultProxy> {
  const proxy = await FaultProxy.listen(target)
  opened.push(proxy)
  return proxy
}

async function openPair(
  a: Partial<HttpSiteOptions> = {},
  b: Partial<HttpSiteOptions> = {},
): Promise<readonly [HttpSite, HttpSite]> {
  const siteA = await openSite({ siteId: 'site-a', ...a })
  const siteB = await openSite({ siteId: 'site-b', ...b })
  return [siteA, siteB]
}

const settled = (site: HttpSite): Promise<void> =>
  eventually(() => site.ledger.counters().pending === 0, 'nothing is pending')

async function restful(...sites: readonly HttpSite[]): Promise<void> {
  for (const site of sites) {
    await settled(site)
    await eventually(async () => (await site.status()).state === 'idle', 'it is idle')
  }
}

/** A body that differs in every 64 bytes. */
function bodyOf(size: number, seed: number): Buffer {
  const body = Buffer.alloc(size, seed)
  for (let i = 0; i + 8 <= size; i += 64) body.writeUInt32LE((i + seed) >>> 0, i)
  return body
}

async function expectEqual(a: HttpSite, b: HttpSite, bucket: string): Promise<void> {
  const keys = await a.store.keys(bucket)
  expect(await b.store.keys(bucket)).toEqual(keys)
  for (const key of keys) {
    const [ours, theirs] = [a, b].map((site) => site.store.engine.headObject({ bucket, key }))
    expect({ version: theirs?.version, meta: theirs?.meta }).toEqual({
      version: ours?.version,
      meta: ours?.meta,
    })
    const [our, their] = await Promise.all([a.store.get(bucket, key), b.store.get(bucket, key)])
    expect(their?.equals(our ?? Buffer.of(1))).toBe(true)
  }
}

describe('two sites over HTTP', () => {
  test('are equal after puts of all sizes, overwrites, deletes and a purge', async () => {
    const [a, b] = await openPair()
    const sizes = [0, 1, 4096, 65_537, 300_000, mib, mib + 1, 9 * mib]
    for (const [i, size] of sizes.entries()) await a.store.put('files', `dir/${i}`, bodyOf(size, i))
    await a.store.put('files', 'gone', 'x')
    await a.store.put('purged', 'y', 'y')
    await a.connectTo({ url: b.url })
    await settled(a)
    await expectEqual(a, b, 'files')
    await a.store.put('files', 'dir/1', 'overwritten')
    await a.store.engine.deleteObject({ bucket: 'files', key: 'gone' })
    await a.store.engine.purgeBucket('purged')
    await a.store.put('purged', 'after', 'z')
    await settled(a)
    await expectEqual(a, b, 'files')
    await expectEqual(a, b, 'purged')
    const status = await a.status()
    expect(status).toMatchObject({ state: 'idle', inFlight: 0, pulling: 0, lastError: undefined })
    const { queued, replicated, failed, superseded } = status.counters
    expect(queued).toBe(replicated + superseded)
    expect(failed).toBe(0)
    expect(status.lagP99Ms).not.toBeNull()
  })

  test('that point at each other settle, and do not loop', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    await b.connectTo({ url: a.url })
    for (let i = 0; i < 20; i++) {
      await a.store.put('both', `a-${i}`, `from a ${i}`)
      await b.store.put('both', `b-${i}`, bodyOf(i === 0 ? 3 * mib : 100, i))
    }
    await settled(a)
    await settled(b)
    // What one has applied is in its own feed: both must come to rest, and one more write must
    // take one place at each site, not more.
    await restful(a, b)
    const heads = [a, b].map((site) => site.store.engine.feed.head())
    const sentBefore = [a, b].map((site) => site.ledger.counters().replicated)
    await a.store.put('both', 'last', 'x')
    await settled(a)
    await restful(a, b)
    expect([a, b].map((site) => site.store.engine.feed.head())).toEqual(
      heads.map((head) => head + 1),
    )
    await expectEqual(a, b, 'both')
    expect(await a.store.keys('both')).toHaveLength(41)
    // Until they have greeted each other they may send back what came from there, and nothing after.
    const sent = [a, b].map((site) => site.ledger.counters().replicated)
    expect(sent.map((count, at) => count - (sentBefore[at] ?? 0))).toEqual([1, 0])
  })

  test('go on with a pull that is cut in the middle', async () => {
    const [a, b] = await openPair({ compression: 'off' })
    const proxy = await openProxy(a.url)
    proxy.cutAfter(5 * mib)
    await a.connectTo({ url: b.url, advertiseUrl: proxy.url })
    await a.store.put('files', 'large', bodyOf(24 * mib, 7))
    await settled(a)
    await expectEqual(a, b, 'files')
    expect(proxy.cuts).toBe(1)
    expect(proxy.bytes).toBeLessThan(26 * mib)
  })

  test('lose nothing when the connection for batches is cut again and again', async () => {
    const [a, b] = await openPair()
    const proxy = await openProxy(b.url)
    proxy.cutAfter(700)
    await a.connectTo({ url: proxy.url })
    for (let i = 0; i < 300; i++) {
      await a.store.put('files', `key-${i % 200}`, `body ${i}`)
      if (i % 50 === 49) proxy.cutAfter(50)
    }
    await settled(a)
    await expectEqual(a, b, 'files')
    expect(proxy.cuts).toBeGreaterThan(0)
    expect(a.ledger.counters().failed).toBe(0)
  })

  test('survive restarts of the receiver in the middle of small and large', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    const writing = (async () => {
      for (let i = 0; i < 150; i++) await a.store.put('files', `key-${i}`, `body ${i}`)
      for (let i = 0; i < 4; i++) await a.store.put('files', `large-${i}`, bodyOf(4 * mib, i))
    })()
    for (let i = 0; i < 3; i++) {
      await eventually(() => b.store.engine.feed.head() > i * 40, 'some have arrived')
      await b.restart()
    }
    await writing
    await settled(a)
    await expectEqual(a, b, 'files')
  })

  test('go on from where they were when the sender was restarted', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    for (let i = 0; i < 50; i++) await a.store.put('files', `key-${i}`, 'x')
    await settled(a)
    const { replicated } = a.ledger.counters()
    await a.restart()
    await a.store.put('files', 'more', 'x')
    await settled(a)
    expect(a.ledger.counters().replicated).toBe(replicated + 1)
    await expectEqual(a, b, 'files')
  })

  test('with a wrong token exchange nothing, say why, and do when the token is right', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url, token: 'wrong' })
    await a.store.put('files', 'key', 'x')
    await eventually(async () => (await a.status()).state === 'refused', 'it is refused')
    expect((await a.status()).lastError).toBe('remote returned 401: the token is not known here')
    expect(b.store.engine.feed.head()).toBe(0)
    expect(JSON.stringify(a.lines)).not.toContain('wrong')
    await a.connectTo({ url: b.url, token: goodToken })
    await settled(a)
    await expectEqual(a, b, 'files')
  })

  test('keep their backlog while the remote is away, and while its volume is full', async () => {
    const [a, b] = await openPair({}, { capacityBytes: 12 * mib, segmentBytes: mib })
    await a.connectTo({ url: b.url })
    const count = 240
    const numbers = Array.from({ length: count }, (_, i) => i)
    await Promise.all(numbers.map((i) => a.store.put('files', `key-${i}`, bodyOf(60_000, i))))
    await eventually(async () => (await a.status()).state === 'full', 'the remote is full')
    expect((await a.status()).lastError).toContain('full')
    expect(a.ledger.counters()).toMatchObject({ failed: 0 })
    const removed = numbers.slice(0, count - 10).map((i) => ({ bucket: 'files', key: `key-${i}` }))
    await Promise.all(removed.map((name) => a.store.engine.deleteObject(name)))
    await settled(a)
    await expectEqual(a, b, 'files')
    expect(a.ledger.counters().failed).toBe(0)
    await b.stop()
    await a.store.put('files', 'later', 'x')
    await eventually(async () => (await a.status()).state === 'unreachable', 'it is away')
    expect((await a.status()).lastError).toContain('cannot reach')
    expect(a.ledger.counters().pending).toBe(1)
  })
})
