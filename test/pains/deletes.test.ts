/** What hurts users of other systems about deletes, loops, and the days after the first. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RemovedDocument, RoleDocument } from '../../src/admin/protocol.ts'
import { NotYet, until } from '../e2e/until.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { TestSite, testConfig } from '../server/test-site.ts'
import {
  addRemote,
  keysIn,
  metric,
  post,
  put,
  putEach,
  read,
  remoteWhen,
  settingsOf,
  shipped,
  statusOf,
  token,
  verify,
} from './pain-sites.ts'

/** A and B ship to each other, A over a link that can be cut. */
let a: TestSite
let b: TestSite
let link: FaultProxy
const reading = { proxyReads: true, proxyTimeoutMs: 20_000 }
/** What B accepts after its next reload. */
let accepted: readonly string[] = [token]

const settingsOfB = () => settingsOf('site-b', undefined, { acceptTokens: accepted, ...reading })

beforeAll(async () => {
  link = await FaultProxy.listen()
  a = await TestSite.make()
  b = await TestSite.make()
  await b.start(settingsOfB(), { load: async () => testConfig(b.storage, settingsOfB()) })
  await a.start(settingsOf('site-a', undefined, reading))
  link.joinTo(b.url)
  await addRemote(a, { name: 'site-b', url: link.url })
  await addRemote(b, { name: 'site-a', url: a.url })
})

afterAll(async () => {
  await Promise.all([a.remove(), b.remove()])
  await link.close()
})

async function bothShipped(): Promise<void> {
  await shipped(a, 'site-b')
  await shipped(b, 'site-a')
  await shipped(a, 'site-b')
}

const heads = async (): Promise<readonly unknown[]> =>
  Promise.all([a, b].map(async (site) => (await statusOf(site)).remotes[0]?.head))

describe('the pains of deletes, loops and keeping it running', () => {
  test('8. deletes get lost or come back: they travel as writes do, and no replay brings back what is gone', async () => {
    await putEach(a, 6, (i) => `/docs/${i}`)
    await bothShipped()
    link.weather = { kind: 'cut' }
    for (const i of [0, 1, 2]) await a.send('DELETE', `/docs/${i}`)
    await put(a, '/docs/3', 'new')
    // What has not arrived is read from here, and not any more once it is deleted here.
    await put(a, '/docs/brief', 'brief')
    expect(await read(b, '/docs/brief')).toBe('brief')
    await a.send('DELETE', '/docs/brief')
    expect(await read(b, '/docs/brief')).toBe('404')
    // The other site offers everything that it has, old as it is.
    await post(b, 'replication/replay', { all: true })
    await shipped(b, 'site-a')
    expect(await keysIn(a, 'docs')).toEqual(['3', '4', '5'])
    link.joinTo(b.url)
    await bothShipped()
    await post(a, 'replication/replay', { all: true })
    await bothShipped()
    for (const site of [a, b]) expect(await keysIn(site, 'docs')).toEqual(['3', '4', '5'])
    expect(await verify(a)).toMatchObject({ verdict: 'equal', differences: 0 })
  })

  test('10. infinite work loops: what is there already changes nothing and is counted, and sites at rest write nothing', async () => {
    await bothShipped()
    const before = await heads()
    const duplicates =
      'comio_replication_events_total{kind="put",remote="site-b",result="duplicate"}'
    const [sent, had] = [(await statusOf(a)).remotes[0], await metric(a, duplicates)]
    const { count } = await post(a, 'replication/replay', { all: true })
    await bothShipped()
    expect(await heads()).toEqual(before)
    expect((await metric(a, duplicates)) - had).toBe(3)
    const after = (await statusOf(a)).remotes[0]
    expect((after?.events_replicated ?? 0) - (sent?.events_replicated ?? 0)).toBe(count)
    // One write is one change in each feed, and nothing goes back.
    await put(a, '/docs/one-more', 'x')
    await bothShipped()
    expect(await heads()).toEqual(before.map((head) => Number(head) + 1))
  })

  test('9. deletes destroy the other site: none travels after the link was cut loose, and none removes silently what its author had not seen', async () => {
    const since = (await statusOf(a)).remotes[0]?.state_since ?? ''
    await post(a, 'replication/remotes/site-b/pause')
    const paused = (await statusOf(a)).remotes[0]
    expect(paused?.state).toBe('paused')
    expect((paused?.state_since ?? '') > since).toBe(true)
    await post(b, 'replication/remotes/site-a/pause')
    await post(b, 'docs/conflict-policy', { policy: 'keep-both' })
    await put(b, '/docs/4', 'written at B')
    await a.send('DELETE', '/docs/4')
    await post(a, 'replication/remotes/site-b/resume')
    await post(b, 'replication/remotes/site-a/resume')
    await bothShipped()
    for (const site of [a, b]) {
      const kept = (await keysIn(site, 'docs')).filter((key) => key.startsWith('4'))
      expect(await Promise.all(kept.map((key) => read(site, `/docs/${key}`)))).toEqual([
        'written at B',
      ])
    }
    expect(await metric(b, 'comio_replication_conflicts_open')).toBe(1)

    // Beyond a limit they wait. What the other site still has is not shown here again.
    await post(a, 'replication/remotes/site-b', { max_delete_count: '0' })
    await a.send('DELETE', '/docs/3')
    await remoteWhen(a, 'it is held', ({ held_deletes }) => held_deletes === 1, 'site-b')
    expect([await read(a, '/docs/3'), await read(b, '/docs/3')]).toEqual(['404', 'new'])
    await post(a, 'replication/held/discard', { remote: 'site-b' })
    await shipped(a, 'site-b')
    expect([await read(a, '/docs/3'), await read(b, '/docs/3')]).toEqual(['404', 'new'])

    link.weather = { kind: 'cut' }
    const removed: RemovedDocument = await a.json('DELETE', '/admin/replication/remotes/site-b')
    expect(removed).toMatchObject({ told: false, reason: expect.any(String) })
    await a.send('DELETE', '/docs/5')
    link.joinTo(b.url)
    await addRemote(a, { name: 'site-b', url: link.url })
    await put(a, '/docs/after', 'x')
    await shipped(a, 'site-b')
    expect(await read(b, '/docs/5')).toBe('x')
    expect(await read(b, '/docs/after')).toBe('x')
  })

  test('15. membership, failback and keys: a dead site can be removed, addresses and tokens overlap, roles are checked before they change', async () => {
    const successor = 'successor-token-0123456789abcdef0123456789abcdef'
    const set = (change: object) => post(a, 'replication/remotes/site-b', change)
    // The first address is nobody's.
    await set({ url: ['http://127.0.0.1:9', link.url] })
    await put(a, '/docs/second-address', 'x')
    await shipped(a, 'site-b')
    for (const next of [[token, successor], [successor]]) {
      accepted = next
      await b.server.reload()
      await set({ token: successor })
      await put(a, `/docs/rotated-${next.length}`, 'x')
      expect(await shipped(a, 'site-b')).toMatchObject({ events_failed: 0 })
    }
    expect(await read(b, '/docs/rotated-1')).toBe('x')

    const change = (order: object): Promise<RoleDocument> => post(a, 'replication/role', order)
    expect(await change({ role: 'replica' })).toMatchObject({ outcome: 'changed', role: 'replica' })
    expect((await a.send('PUT', '/docs/refused', { body: 'x' })).status).toBe(403)
    link.weather = { kind: 'cut' }
    const refused = await change({ role: 'primary' })
    expect(refused).toMatchObject({ outcome: 'refused', role: 'replica' })
    expect(refused.checks.some(({ ok }) => !ok)).toBe(true)
    expect(await change({ role: 'primary', force: true })).toMatchObject({ outcome: 'changed' })
    await put(a, '/docs/after-failover', 'x')
    await remoteWhen(a, 'B is away', ({ state }) => state === 'unreachable', 'site-b')
    const remove = (): Promise<RemovedDocument> =>
      a.json('DELETE', '/admin/replication/remotes/site-b')
    expect((await remove()).told).toBe(false)
    expect((await statusOf(a)).remotes).toEqual([])
    // Told at whichever address it answers.
    link.joinTo(b.url)
    await addRemote(a, { name: 'site-b', url: ['http://127.0.0.1:9', link.url], token: successor })
    expect((await remove()).told).toBe(true)
    await until('A is well without B', async () => {
      const { status, reasons } = await a.json('GET', '/admin/health')
      return status === 'ok' ? true : new NotYet(reasons)
    })
  })
})
