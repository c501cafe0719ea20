import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HealthDocument, ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { NotYet, until } from '../e2e/until.ts'
import { type ConfigChanges, remoteAt, standingOf, TestSite } from './test-site.ts'

const token = 'a-token-for-site-a-to-write-to-b'

let a: TestSite
let b: TestSite

beforeEach(async () => {
  a = await TestSite.make()
  b = await TestSite.make()
  await b.start({ server: { siteId: 'site-b' }, replication: { acceptTokens: [token] } })
})

afterEach(async () => {
  await a.remove()
  await b.remove()
})

function syncTo(url: string, replication: ConfigChanges['replication'] = {}): ConfigChanges {
  const remote = { enabled: true, remotes: [remoteAt(url, token)], retryDelayMs: 100 }
  return {
    server: { siteId: 'site-a' },
    replication: { mode: 'sync', syncTimeoutMs: 60_000, ...remote, ...replication },
  }
}

const status = (): Promise<ReplicationStatusDocument> => a.json('GET', '/admin/replication/status')

describe('sync mode', () => {
  it('answers each kind of write only when the other site shows it', async () => {
    await a.start(syncTo(b.url))
    const large = Buffer.alloc(3 * 2 ** 20, 7)
    const shown = async (path: string): Promise<number> => (await b.send('HEAD', path)).status
    expect((await a.send('PUT', '/docs/one', { body: 'one' })).status).toBe(200)
    expect(await shown('/docs/one')).toBe(200)
    expect((await a.send('PUT', '/docs/large', { body: large })).status).toBe(200)
    expect(await shown('/docs/large')).toBe(200)
    expect((await a.send('DELETE', '/docs/one')).status).toBe(204)
    expect(await shown('/docs/one')).toBe(404)
    expect((await a.send('DELETE', '/admin/docs/objects?confirm=true')).status).toBe(200)
    expect(await shown('/docs/large')).toBe(404)
    expect((await a.send('DELETE', '/docs')).status).toBe(204)
    expect(await shown('/docs')).toBe(404)
    expect((await a.send('PUT', '/fresh')).status).toBe(200)
    expect(await shown('/fresh')).toBe(200)
    expect((await status()).sync).toMatchObject({ confirmed: 6, timed_out: 0, waiting: 0 })
  })

  it('says that a write is stored, and not confirmed, and ships it when the remote is back', async () => {
    const { url } = b
    await b.stop()
    await a.start(syncTo(url, { syncTimeoutMs: 100 }))
    const answer = await a.send('PUT', '/docs/one', { body: 'one' })
    expect(answer.status).toBe(503)
    expect(answer.body.toString()).toContain('<Code>ServiceUnavailable</Code>')
    expect(answer.body.toString()).toContain('stored locally, not confirmed by remote default')
    expect((await a.send('GET', '/docs/one')).body.toString()).toBe('one')
    const purge = await a.send('DELETE', '/admin/docs/objects?confirm=true')
    expect(purge.status).toBe(503)
    expect(JSON.parse(purge.body.toString())).toMatchObject({ error: { code: 'SYNC_UNCONFIRMED' } })
    expect((await status()).sync).toMatchObject({ timed_out: 2, fallbacks: 0 })
  })

  it('answers as in mode async when told to, and says that it is degraded until all has arrived', async () => {
    const { url } = b
    await b.stop()
    await a.start(syncTo(url, { syncTimeoutMs: 100, syncFallback: 'async' }))
    expect((await a.send('PUT', '/docs/one', { body: 'one' })).status).toBe(200)
    const during = await status()
    expect(during.sync).toMatchObject({ timed_out: 0, fallbacks: 1 })
    expect(during.sync?.degraded_since).not.toBeNull()
    const { reasons }: HealthDocument = await a.json('GET', '/admin/health')
    expect(reasons.join()).toMatch(/sync mode: since .* writes that no remote has confirmed/)
    const server = { siteId: 'site-b', port: Number(new URL(url).port) }
    await b.start({ server, replication: { acceptTokens: [token] } })
    await until('it is degraded no longer', async () => {
      const { sync } = await status()
      return sync?.degraded_since === null ? true : new NotYet(sync)
    })
    expect((await b.send('GET', '/docs/one')).body.toString()).toBe('one')
  })

  it('is answered without a remote at no time while the remote is being changed', async () => {
    await a.start({ server: { siteId: 'site-a' }, replication: { syncTimeoutMs: 60_000 } })
    const remotes = '/admin/replication/remotes'
    const send = (method: string, path: string, document: object) =>
      a.send(method, path, {
        body: JSON.stringify(document),
        headers: { 'content-type': 'application/json' },
      })
    const added = await send('POST', remotes, { name: 'b', url: b.url, token, mode: 'sync' })
    expect(added.status).toBe(200)
    const wrong: unknown[] = []
    const writer = async (lane: number): Promise<void> => {
      for (let i = 0; i < 8; i++) {
        const path = `/docs/${lane}-${i}`
        const { status } = await a.send('PUT', path, { body: 'x' })
        const shown = await b.send('HEAD', path)
        if (status !== 200 || shown.status !== 200) wrong.push([path, status, shown.status])
      }
    }
    const changing = send('POST', `${remotes}/b`, { workers: '2' })
    await Promise.all([1, 2, 3, 4].map(writer))
    expect((await changing).status).toBe(200)
    expect(wrong).toEqual([])
  })

  it('answers at once when a limit holds a delete, and says so', async () => {
    await a.start(syncTo(b.url, { maxDeleteCount: 1 }))
    for (const key of ['1', '2', '3']) await a.send('PUT', `/docs/${key}`, { body: key })
    expect((await a.send('DELETE', '/docs/1')).status).toBe(204)
    for (const path of ['/docs/2', '/admin/docs/objects?confirm=true']) {
      const answer = await a.send('DELETE', path)
      expect(answer.status).toBe(503)
      expect(answer.body.toString()).toContain('more was deleted than its limits allow')
    }
    expect((await b.send('HEAD', '/docs/2')).status).toBe(200)
    expect((await a.send('PUT', '/docs/4', { body: '4' })).status).toBe(200)
    // The answer comes before it is written down here that the write has arrived.
    const { remotes } = await until('all that is not held is done', async () => {
      const found = await status()
      return found.remotes[0]?.state === 'idle' ? found : new NotYet(standingOf(found))
    })
    expect(remotes).toMatchObject([{ state: 'idle', held_deletes: 2 }])
    const asJson = { headers: { 'content-type': 'application/json' }, body: '{}' }
    expect(await a.json('POST', '/admin/replication/held/release', asJson)).toMatchObject({
      deletes: 2,
    })
    expect((await a.send('PUT', '/docs/5', { body: '5' })).status).toBe(200)
  })

  it('stops in time although answers wait', async () => {
    await a.start(syncTo(b.url))
    await a.send('PUT', '/docs/before', { body: 'x' })
    await b.stop()
    const waiting = a.send('PUT', '/docs/one', { body: 'one' })
    await until('the answer waits', async () => {
      const { sync } = await status()
      return sync?.waiting === 1 ? true : new NotYet(sync)
    })
    await a.stop()
    const answer = await waiting
    expect(answer.status).toBe(503)
    expect(answer.body.toString()).toContain('this site is shutting down')
  })
})
