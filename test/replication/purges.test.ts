import { afterEach, expect, test } from 'vitest'
import { eventually, HttpSite } from './http-site.ts'

const opened: HttpSite[] = []
afterEach(async () => {
  for (const site of opened.splice(0).reverse()) await site.close()
})

async function openSite(siteId: string): Promise<HttpSite> {
  const site = await HttpSite.open({ siteId, options: { transfer: 'pull' } })
  opened.push(site)
  return site
}

const settled = (site: HttpSite): Promise<void> =>
  eventually(() => site.ledger.counters().pending === 0, 'nothing is pending')

const listedAt = ({ store }: HttpSite): readonly string[] =>
  store.engine.conflicts
    .conflicts(100)
    .map(({ key }) => key)
    .sort()

test('a write that was on its way when the other site purged is listed at both, though newer ones had come', async () => {
  const a = await openSite('site-a')
  const b = await openSite('site-b')
  // Nobody can fetch from there: the large object stays on its way while a later one comes.
  await a.connectTo({ url: b.url, advertiseUrl: 'http://127.0.0.1:9' })
  await b.connectTo({ url: a.url })
  await a.store.put('docs', 'seen', 'x')
  await settled(a)
  const saysAll = (): boolean => {
    const held = b.store.engine.peerMark(a.store.volume.identity.volumeId)?.holdings?.upTo
    const { version } = a.store.engine.headObject({ bucket: 'docs', key: 'seen' }) ?? {}
    return held?.some((upTo) => upTo >= (version ?? '')) === true
  }
  await eventually(saysAll, 'the purging site knows that it has all')
  await a.store.put('docs', 'on-its-way', Buffer.alloc(3 * 2 ** 20, 7))
  await a.store.put('docs', 'small', 'y')
  await eventually(async () => (await b.store.get('docs', 'small')) !== undefined, 'small is there')

  b.store.skewMs = 5000
  await b.store.engine.purgeBucket('docs')
  expect(listedAt(b)).toEqual([])
  await settled(b)
  await eventually(() => listedAt(a).includes('on-its-way'), 'the site that had it lists it')
  // What had come and was not known to be all that there was may be listed; what was known is not.
  expect(listedAt(a)).not.toContain('seen')
  expect(await a.store.keys('docs')).toEqual([])
  expect(await b.store.keys('docs')).toEqual([])
})
