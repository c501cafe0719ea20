import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import type { VerifyDocument, VerifyRequestDocument } from '../../src/admin/verify-protocol.ts'
import { seededRandom } from '../../src/base/random.ts'
import { NotYet, until } from '../e2e/until.ts'
import { type ConfigChanges, remoteAt, standingOf, TestSite } from './test-site.ts'

const token = 'a-token-for-site-a-to-write-to-b'

let a: TestSite
let b: TestSite

beforeEach(async () => {
  a = await TestSite.make()
  b = await TestSite.make()
})

afterEach(async () => {
  await a.remove()
  await b.remove()
})

const accepting: ConfigChanges = {
  server: { siteId: 'site-b' },
  replication: { acceptTokens: [token] },
}

function shippingTo(url: string): ConfigChanges {
  return {
    server: { siteId: 'site-a' },
    replication: {
      enabled: true,
      remotes: [remoteAt(url, token)],
      retryDelayMs: 200,
      inlineLimit: 64 * 1024,
    },
  }
}

async function statusOf(site: TestSite): Promise<ReplicationStatusDocument> {
  const status: ReplicationStatusDocument = await site.json('GET', '/admin/replication/status')
  const { events_replicated, events_failed, events_superseded, pending } = status
  expect(status.events_queued).toBe(events_replicated + events_failed + events_superseded + pending)
  return status
}

/** Asks until the status is as wanted; every answer on the way has to balance. */
async function statusWhen(
  site: TestSite,
  wanted: (status: ReplicationStatusDocument) => boolean,
): Promise<ReplicationStatusDocument> {
  return until('the status is as wanted', async () => {
    const status = await statusOf(site)
    return wanted(status) ? status : new NotYet(standingOf(status))
  })
}

const shipped = (status: ReplicationStatusDocument): boolean => status.pending === 0

describe('two sites', () => {
  it('hold the same after puts, overwrites, deletes and a purge, large objects included', async () => {
    await b.start(accepting)
    await a.start(shippingTo(b.url))
    const large = Buffer.from(seededRandom(1).bytes(5 * 2 ** 20))
    const headers = { 'content-type': 'text/plain', 'x-amz-meta-author': 'somebody' }
    await a.send('PUT', '/docs/small', { body: 'one', headers })
    await a.send('PUT', '/docs/small', { body: 'two', headers })
    await a.send('PUT', '/docs/gone', { body: 'gone' })
    await a.send('DELETE', '/docs/gone')
    await a.send('PUT', '/docs/large', { body: large })
    await a.send('PUT', '/trash/x', { body: 'x' })
    await a.send('DELETE', '/admin/trash/objects?confirm=true')
    const status = await statusWhen(a, shipped)
    expect(status).toMatchObject({
      enabled: true,
      site_id: 'site-a',
      events_failed: 0,
      lag_seconds: 0,
      last_replication: expect.stringMatching(/Z$/),
    })
    const [atA, atB] = await Promise.all([
      a.send('GET', '/docs/small'),
      b.send('GET', '/docs/small'),
    ])
    expect(atB.body.toString()).toBe('two')
    for (const name of ['etag', 'last-modified', 'content-type', 'x-amz-meta-author']) {
      expect(atB.headers[name]).toBe(atA.headers[name])
    }
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
    expect(digest((await b.send('GET', '/docs/large')).body)).toBe(digest(large))
    expect((await b.send('GET', '/docs/gone')).status).toBe(404)
    expect((await b.send('GET', '/trash/x')).status).toBe(404)
    expect((await a.json('GET', '/admin/health')).status).toBe('ok')
  })

  it('are one link under two addresses: the second is refused, and the first goes on', async () => {
    await b.start(accepting)
    const twice = (): ConfigChanges => {
      const { replication, ...rest } = shippingTo(b.url)
      const other = { ...remoteAt(b.url.replace('127.0.0.1', 'localhost'), token), name: 'again' }
      const remotes = [...(replication?.remotes ?? []), other]
      return { ...rest, replication: { ...replication, remotes, acceptTokens: [token] } }
    }
    const once = {
      ...twice(),
      replication: { ...twice().replication, remotes: [remoteAt(b.url, token)] },
    }
    await a.start(once)
    await a.send('PUT', '/docs/one', { body: 'one' })
    await statusWhen(a, shipped)
    const add = (url: string) =>
      a.json('POST', '/admin/replication/remotes', {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'again', url: [url], token }),
      })
    const words = (said: string) => ({
      error: { code: 'REMOTE_CONFLICT', message: expect.stringContaining(said) },
    })
    const isDefault = 'this is the site that remote default leads to'
    expect(await add(b.url.replace('127.0.0.1', 'localhost'))).toMatchObject(words(isDefault))
    expect(await add(a.url)).toMatchObject(words('is this very site'))
    await a.stop()
    await a.start(twice())
    const refused = await statusWhen(a, ({ remotes }) => remotes[1]?.state === 'refused')
    expect(refused.remotes[1]?.last_error).toContain(isDefault)
    await a.send('PUT', '/docs/two', { body: 'two' })
    const { remotes } = await statusWhen(a, (status) => status.remotes[0]?.pending_events === 0)
    expect(remotes[0]).toMatchObject({ last_error: null })
    expect(b.log.join('').split('A sender has connected').length - 1).toBe(2)
    expect((await b.send('GET', '/docs/two')).body.toString()).toBe('two')
  })

  it('are told apart by the token that comes with a new address', async () => {
    await b.start(accepting)
    await a.start(shippingTo(b.url))
    await a.send('PUT', '/docs/one', { body: 'one' })
    await statusWhen(a, shipped)
    const say = (path: string, remote: object) =>
      a.json('POST', `/admin/replication/remotes${path}`, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(remote),
      })
    const old = 'a-token-that-another-site-knows!'
    await say('', { name: 'again', url: ['http://127.0.0.1:1'], token: old })
    const url = [b.url.replace('127.0.0.1', 'localhost')]
    const error = { message: expect.stringContaining('the site that remote default leads to') }
    expect(await say('/again', { url, token })).toMatchObject({ error })
  })

  it('need no token between them, and show none over plain HTTP beyond loopback', async () => {
    await a.start({ replication: { enabled: true } })
    // Of this machine, and no loopback address.
    const add = (remote: object) =>
      a.json('POST', '/admin/replication/remotes', {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'open', url: ['http://0.0.0.0:1'], ...remote }),
      })
    const error = {
      code: 'REMOTE_SETTINGS',
      message: expect.stringContaining('readable on the way'),
    }
    expect(await add({ token })).toMatchObject({ error })
    expect(await add({})).toMatchObject({ name: 'open', paused: false })
  })

  it('keep count of what was sent while the remote is paused', async () => {
    await b.start(accepting)
    await a.start(shippingTo(b.url))
    await a.send('PUT', '/docs/one', { body: 'one' })
    const [before] = (await statusWhen(a, shipped)).remotes
    expect(before?.wire_bytes).toBeGreaterThan(0)
    for (const [verb, state] of [
      ['pause', 'paused'],
      ['resume', 'idle'],
    ]) {
      await a.json('POST', `/admin/replication/remotes/default/${verb}`)
      const { remotes } = await statusWhen(a, (status) => status.remotes[0]?.state === state)
      // More than before where the remote was told meanwhile how far it is.
      expect(remotes[0]?.wire_bytes).toBeGreaterThanOrEqual(before?.wire_bytes ?? 0)
      expect(remotes[0]?.saved_bytes).toBe(before?.saved_bytes)
    }
  })

  it('catch up after the remote was away, with what was there before replication', async () => {
    await a.start({ server: { siteId: 'site-a' } })
    await a.send('PUT', '/docs/before', { body: 'before' })
    await a.stop()
    await b.start(accepting)
    const { port } = new URL(b.url)
    await b.stop()
    await a.start(shippingTo(`http://127.0.0.1:${port}`))
    await a.send('PUT', '/docs/during', { body: 'during' })
    await statusWhen(a, ({ remotes }) => remotes[0]?.state === 'unreachable')
    await b.start({ ...accepting, server: { ...accepting.server, port: Number(port) } })
    await statusWhen(a, shipped)
    expect((await b.send('GET', '/docs/before')).body.toString()).toBe('before')
    expect((await b.send('GET', '/docs/during')).body.toString()).toBe('during')
  })

  it('say so when the token is wrong, and go on when it is right', async () => {
    await b.start({ ...accepting, replication: { acceptTokens: ['another-token'] } })
    const { port } = new URL(b.url)
    await a.start(shippingTo(b.url))
    await a.send('PUT', '/docs/a', { body: 'a' })
    const refused = await statusWhen(a, ({ remotes }) => remotes[0]?.state === 'refused')
    expect(refused.remotes[0]?.last_error).toContain('401')
    expect(refused.events_failed).toBe(0)
    const health = await a.json('GET', '/admin/health')
    expect(health.reasons).toEqual([expect.stringMatching(/^remote default refuses replication/)])
    await b.stop()
    await b.start({ ...accepting, server: { ...accepting.server, port: Number(port) } })
    await statusWhen(a, shipped)
    expect((await b.send('GET', '/docs/a')).status).toBe(200)
  })

  it('replay what is asked for, and count it as queued again', async () => {
    await b.start(accepting)
    await a.start(shippingTo(b.url))
    for (const name of ['x', 'y', 'z']) await a.send('PUT', `/docs/${name}`, { body: 'abc' })
    const before = await statusWhen(a, shipped)
    const headers = { 'content-type': 'application/json' }
    const replay = (body: object) =>
      a.json('POST', '/admin/replication/replay', { headers, body: JSON.stringify(body) })
    const dry = await replay({ all: true, dry_run: true })
    expect(dry.bytes).toBe(9)
    expect((await statusOf(a)).events_queued).toBe(before.events_queued)
    expect(await replay({ all: true, remote: 'default' })).toEqual(dry)
    const after = await statusWhen(a, shipped)
    expect(after.events_queued).toBe(before.events_queued + dry.count)
    expect(after.events_replicated).toBe(before.events_replicated + dry.count)
    const last = await replay({ from: after.remotes[0]?.head, dry_run: true })
    expect(last.count).toBe(1)
    expect(await replay({ failed: true })).toMatchObject({ count: 0, bytes: 0 })
  })

  it('stop while a sender waits at the other, without waiting for it', async () => {
    await b.start(accepting)
    await a.start(shippingTo(b.url))
    await a.send('PUT', '/docs/large', { body: Buffer.alloc(3 * 2 ** 20) })
    await b.stop()
    await a.stop()
    const records = [...a.records(), ...b.records()]
    expect(records.filter(({ msg }) => String(msg).startsWith('Requests were cut off'))).toEqual([])
  })

  it('that point at each other do not send in circles', async () => {
    await b.start(accepting)
    const { port } = new URL(b.url)
    await a.start({
      ...shippingTo(b.url),
      replication: { ...shippingTo(b.url).replication, acceptTokens: [token] },
    })
    await b.stop()
    await b.start({
      server: { siteId: 'site-b', port: Number(port) },
      replication: { ...shippingTo(a.url).replication, acceptTokens: [token] },
    })
    await a.send('PUT', '/docs/from-a', { body: 'a' })
    await b.send('PUT', '/docs/from-b', { body: 'b' })
    const hasBoth = async (site: TestSite): Promise<boolean> => {
      const statuses = await Promise.all(
        ['from-a', 'from-b'].map(async (key) => (await site.send('GET', `/docs/${key}`)).status),
      )
      return statuses.every((status) => status === 200)
    }
    await until('both have both', async () =>
      (await hasBoth(a)) && (await hasBoth(b)) ? true : new NotYet('not yet'),
    )
    await statusWhen(a, shipped)
    await statusWhen(b, shipped)
    const heads = [await statusOf(a), await statusOf(b)].map(({ remotes }) => remotes[0]?.head)
    await a.send('GET', '/docs/from-b')
    expect([await statusOf(a), await statusOf(b)].map(({ remotes }) => remotes[0]?.head)).toEqual(
      heads,
    )
  })

  it('are compared on demand and repaired, and the status keeps what came of it', async () => {
    await b.start(accepting)
    await a.start(shippingTo(b.url))
    await a.send('PUT', '/docs/both', { body: 'both' })
    await statusWhen(a, shipped)
    const large = Buffer.from(seededRandom(2).bytes(3 * 2 ** 20))
    await b.send('PUT', '/docs/only-b', { body: large })
    expect(await verified(a, {})).toMatchObject({
      verdict: 'different',
      kinds: { 'missing-here': 1 },
      listed: [{ kind: 'missing-here', what: 'object', bucket: 'docs', key: 'only-b' }],
    })
    expect(await verified(a, { repair: true })).toMatchObject({ verdict: 'equal', repaired: 1 })
    expect((await a.send('GET', '/docs/only-b')).body.equals(large)).toBe(true)
    const { remotes } = await statusOf(a)
    expect(remotes[0]?.verify).toMatchObject({ verdict: 'equal', differences: 0 })
    const metrics = (await a.send('GET', '/admin/metrics')).body.toString()
    expect(metrics).toContain('comio_replication_verify_equal{remote="default"} 1')
    await b.stop()
    expect(await verified(a, {})).toMatchObject({ verdict: 'unknown' })
    const nowhere = await a.send('POST', '/admin/replication/verify', {
      body: '{"remote":"nobody"}',
      headers: { 'content-type': 'application/json' },
    })
    expect(nowhere.status).toBe(404)
  })
})

/** Begins a comparison and waits for its end. */
async function verified(site: TestSite, request: VerifyRequestDocument) {
  const path = '/admin/replication/verify'
  const headers = { 'content-type': 'application/json' }
  let run: VerifyDocument = await site.json('POST', path, {
    body: JSON.stringify(request),
    headers,
  })
  while (run.running !== null) run = await site.json('GET', path)
  return run.results[0]
}
