import { afterEach, expect, it } from 'vitest'
import type { RemoteStatus, ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { NotYet, until } from '../e2e/until.ts'
import { TestSite } from './test-site.ts'

const token = 'a-token-for-all-of-these-sites-here'

const sites: TestSite[] = []
afterEach(async () => {
  for (const site of sites.splice(0)) await site.remove()
})

async function open(siteId: string): Promise<TestSite> {
  const site = await TestSite.make()
  sites.push(site)
  const replication = { enabled: true, acceptTokens: [token], retryDelayMs: 200 }
  await site.start({ server: { siteId }, replication })
  return site
}

const post = (site: TestSite, path: string, body: object = {}) =>
  site.json('POST', path, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** What each is to ship to: all others. */
function links(): readonly {
  readonly from: TestSite
  readonly name: string
  readonly url: string
}[] {
  return sites.flatMap((from) =>
    sites.flatMap((to, at) => (from === to ? [] : { from, name: `to-${at}`, url: to.url })),
  )
}

async function remotesOf(site: TestSite): Promise<readonly RemoteStatus[]> {
  const status: ReplicationStatusDocument = await site.json('GET', '/admin/replication/status')
  return status.remotes
}

async function allArrived(site: TestSite): Promise<void> {
  await until('everything has arrived', async () => {
    const remotes = await remotesOf(site)
    const isIdle = remotes.every(
      ({ state, pending_events: pending }) => state === 'idle' && pending === 0,
    )
    return isIdle && remotes.length === sites.length - 1 ? true : new NotYet(remotes)
  })
}

const keysAt = async (site: TestSite): Promise<readonly string[]> => {
  const { body } = await site.send('GET', '/docs?list-type=2')
  return [...body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key ?? '')
}

it.each([2, 3])(
  '%i sites that add each other at the same moment meet at the first attempt, again and again',
  async (count) => {
    for (let at = 0; at < count; at++) await open(`site-${at}`)
    const written: string[] = []
    const write = (site: TestSite, key: string) => {
      written.push(key)
      return site.send('PUT', `/docs/${key}`, { body: key })
    }
    for (const round of ['first', 'second', 'third']) {
      // Something is there before, and something comes while they meet.
      for (const [at, site] of sites.entries()) await write(site, `${round}-${at}-before`)
      await Promise.all([
        ...links().map(({ from, name, url }) =>
          post(from, '/admin/replication/remotes', { name, url: [url], token }),
        ),
        ...sites.map((site, at) => write(site, `${round}-${at}-meanwhile`)),
      ])
      for (const site of sites) await allArrived(site)
      for (const site of sites) {
        expect((await remotesOf(site)).map(({ last_error }) => last_error)).toEqual(
          Array.from({ length: count - 1 }, () => null),
        )
        expect(await keysAt(site)).toEqual([...written].sort())
      }
      await Promise.all(
        links().map(({ from, name }) => from.send('DELETE', `/admin/replication/remotes/${name}`)),
      )
    }
    for (const site of sites) {
      const complaints = site.records().filter(({ level }) => level !== 'info' && level !== 'debug')
      const told = complaints.map(({ msg }) => msg)
      expect(new Set(told)).toEqual(new Set(['A remote was removed']))
    }
  },
)
