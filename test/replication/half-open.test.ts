/** Links over which connections stand and nothing comes: no FIN, no RST, no answer. */
import { afterEach, expect, test } from 'vitest'
import { bytesOf } from '../e2e/content.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { fair } from '../faults/weather.ts'
import { eventually, HttpSite } from './http-site.ts'

const mib = 2 ** 20
/** Deadlines of 30 s are met after one and a half, and a lease ends after three. */
const hurry = 20
const leaseMs = 60_000 / hurry
/** Connections that were half open stay dead when the link has healed, in silence. */
const halfOpen = { kind: 'half-open', ends: 'silence' } as const

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

interface Pair {
  readonly a: HttpSite
  readonly b: HttpSite
  /** In front of B, and of A. */
  readonly toB: FaultProxy
  readonly toA: FaultProxy
}

/** A ships to B. */
async function openPair(transfer: 'pull' | 'push' = 'pull'): Promise<Pair> {
  const options = { transfer, rangeBytes: mib }
  const a = await HttpSite.open({ siteId: 'site-a', hurry, options })
  const b = await HttpSite.open({ siteId: 'site-b', hurry, options })
  const toA = await FaultProxy.listen(a.url)
  const toB = await FaultProxy.listen(b.url)
  opened.push(toA, toB, a, b)
  await a.connectTo({ url: toB.url, advertiseUrl: toA.url })
  return { a, b, toB, toA }
}

const settled = (site: HttpSite): Promise<void> =>
  eventually(() => site.ledger.counters().pending === 0, 'nothing is pending')

const unreachable = (site: HttpSite): Promise<void> =>
  eventually(async () => (await site.status()).state === 'unreachable', 'the remote is unreachable')

test('a remote that takes changes and never answers is unreachable, and gets them once it answers', async () => {
  const { a, b, toB } = await openPair()
  await a.store.put('docs', 'before', 'before')
  await settled(a)
  toB.weather = halfOpen
  await a.store.put('docs', 'meanwhile', 'meanwhile')
  await unreachable(a)
  expect((await a.status()).lastError).toMatch(/took and answered nothing|no answer/)
  expect(await a.verify()).toMatchObject({ verdict: 'unknown' })
  expect(await b.store.keys('docs')).toEqual(['before'])
  toB.weather = fair
  await settled(a)
  expect(await b.store.keys('docs')).toEqual(['before', 'meanwhile'])
  expect((await a.status()).state).toBe('idle')
})

test.each(['pull', 'push'] as const)(
  'a large object whose link falls silent in the middle of a %s goes on when it is back',
  async (transfer) => {
    const { a, b, toA, toB } = await openPair(transfer)
    const film = bytesOf(1, 12 * mib)
    await a.store.put('films', 'film', film)
    await eventually(() => (a.traffic?.wireBytes ?? 0) > 5 * mib, 'some of it has been sent')
    for (const proxy of [toA, toB]) proxy.weather = halfOpen
    const silentAt = performance.now()
    await unreachable(a)
    expect(a.ledger.counters().pending).toBeGreaterThan(0)
    // Its bytes are pinned no longer, and it has to be offered again.
    await eventually(() => performance.now() - silentAt > leaseMs, 'its lease is over')
    for (const proxy of [toA, toB]) proxy.weather = fair
    await settled(a)
    expect((await b.store.get('films', 'film'))?.equals(film)).toBe(true)
    expect(a.ledger.counters().failed).toBe(0)
  },
)
