import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { digestOf, piecesOf } from './content.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import { type SiteProcess, TestBed } from './site-process.ts'

const mib = 2 ** 20

let bed: TestBed
let proxy: FaultProxy

beforeEach(async () => {
  bed = await TestBed.make()
  proxy = await FaultProxy.listen()
})

afterEach(async () => {
  await bed.remove()
  await proxy.close()
})

/** A ships to B, and B pulls from A through the proxy. */
async function startPair(): Promise<readonly [a: SiteProcess, b: SiteProcess]> {
  const b = await bed.site('b', accepting).start()
  const args = ['--advertise-url', proxy.url]
  const a = await bed.site('a', { ...shippingTo(b.url), args }).start()
  return [a, b]
}

async function putLarge(site: SiteProcess, bytes: number): Promise<void> {
  const headers = { 'content-length': String(bytes), 'content-type': 'video/mp4' }
  const answer = await site.send('PUT', '/films/film', { headers, body: piecesOf(7, bytes) })
  expect(answer.status).toBe(200)
}

async function expectFilm(site: SiteProcess, bytes: number): Promise<void> {
  const { statusCode, headers, body } = await site.open('GET', '/films/film')
  expect(statusCode).toBe(200)
  expect(headers['content-type']).toBe('video/mp4')
  expect(await digestOf(body)).toBe(await digestOf(piecesOf(7, bytes)))
}

describe('a large object', () => {
  /** `npm run test:large` has the whole: 1 GiB over ten cuts. */
  test('over a link that is cut six times arrives whole, with less than a 16th sent twice', async () => {
    const bytes = 96 * mib
    const [a, b] = await startPair()
    const cuts = [3, 4, 13, 37, 55, 90].map((at) => at * mib)
    proxy.passTo(a.url)
    proxy.cutAt(cuts)
    await putLarge(a, bytes)
    const status = await a.shipped()
    expect(status.events_failed).toBe(0)
    expect(proxy.cuts).toBe(cuts.length)
    expect(proxy.bytes - bytes).toBeGreaterThan(0)
    expect(proxy.bytes - bytes).toBeLessThan(bytes / 16)
    await expectFilm(b, bytes)
  })

  test('arrives where the other site cannot reach this one', async () => {
    const bytes = 24 * mib
    const b = await bed.site('b', accepting).start()
    const args = ['--advertise-url', 'http://127.0.0.1:9']
    const a = await bed.site('a', { ...shippingTo(b.url), args }).start()
    await putLarge(a, bytes)
    const status = await a.shipped()
    expect(status.events_failed).toBe(0)
    expect(status.remotes[0]?.wire_bytes).toBeGreaterThan(bytes)
    await expectFilm(b, bytes)
  })

  test('goes on where it was after its receiver was killed', async () => {
    const bytes = 144 * mib
    const [a, b] = await startPair()
    proxy.passTo(a.url)
    await putLarge(a, bytes)
    await proxy.passed(115 * mib)
    await b.kill()
    expect((await a.status()).pending).toBeGreaterThan(0)
    await b.start()
    await a.shipped()
    expect(proxy.bytes).toBeLessThan(1.5 * bytes)
    await expectFilm(b, bytes)
  })

  test('arrives after its sender was killed in the middle', async () => {
    const bytes = 32 * mib
    const [a, b] = await startPair()
    proxy.passTo(a.url)
    await putLarge(a, bytes)
    await proxy.passed(16 * mib)
    await a.kill()
    await a.start()
    await a.shipped()
    expect(proxy.bytes).toBeLessThan(1.5 * bytes)
    await expectFilm(b, bytes)
    await expectFilm(a, bytes)
  })
})
