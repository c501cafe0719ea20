import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { NotYet, until } from '../e2e/until.ts'
import { type ConfigChanges, remoteAt, standingOf, TestSite, testConfig } from './test-site.ts'

const oldToken = 'old-token-0123456789-0123456789-01'
const newToken = 'new-token-0123456789-0123456789-01'
const adminToken = 'admin-token-0123456789-0123456789-01'

let folder: string
let a: TestSite
let b: TestSite
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-reload-'))
  a = await TestSite.make()
  b = await TestSite.make()
})
afterEach(async () => {
  await a.remove()
  await b.remove()
  await rm(folder, { recursive: true, force: true })
})

const ops = { name: 'ops', role: 'admin', token: adminToken } as const
const asOps = { headers: { authorization: `Bearer ${adminToken}` } }

/** Site B, and what makes it reload other settings. */
async function startB(changes: ConfigChanges): Promise<(next: ConfigChanges) => Promise<void>> {
  let current: () => ConfigChanges = () => changes
  const load = async () => testConfig(b.storage, current())
  await b.start({ ...changes, server: { siteId: 'site-b' } }, { load })
  return async (next) => {
    current = () => next
    await b.server.reload()
  }
}

const tokenFile = (): string => join(folder, 'remote.token')

async function startA(): Promise<void> {
  await writeFile(tokenFile(), oldToken)
  const remote = { ...remoteAt(b.url, oldToken), tokenFile: tokenFile() }
  await a.start({
    server: { siteId: 'site-a' },
    replication: { enabled: true, remotes: [remote], retryDelayMs: 200, batchIntervalMs: 0 },
  })
}

async function statusWhen(
  wanted: (status: ReplicationStatusDocument) => boolean,
): Promise<ReplicationStatusDocument> {
  return until('the status is as wanted', async () => {
    const status: ReplicationStatusDocument = await a.json('GET', '/admin/replication/status')
    return wanted(status) ? status : new NotYet(standingOf(status))
  })
}

const shipped = ({ pending }: ReplicationStatusDocument): boolean => pending === 0

describe('rotating the token between two sites', () => {
  test('needs no restart and leaves no gap: the refused file is read again', async () => {
    const reload = await startB({ replication: { acceptTokens: [oldToken] } })
    await startA()
    await a.send('PUT', '/docs/one', { body: 'one' })
    await statusWhen(shipped)
    // Its file first: A may tell B at any moment how far it is, and would be refused with the old one.
    await writeFile(tokenFile(), newToken)
    await reload({ replication: { acceptTokens: [newToken] } })
    await a.send('PUT', '/docs/two', { body: 'two' })
    const status = await statusWhen(shipped)
    expect(status.remotes[0]).toMatchObject({ events_failed: 0, last_error: null })
    expect((await b.send('GET', '/docs/two')).body.toString()).toBe('two')
    expect(a.log.join('') + b.log.join('')).not.toMatch(/new-token|old-token/)
  })

  test('may take its time: while both are valid either is accepted', async () => {
    const reload = await startB({ replication: { acceptTokens: [oldToken] } })
    await reload({ replication: { acceptTokens: [oldToken, newToken] } })
    await startA()
    await a.send('PUT', '/docs/one', { body: 'one' })
    await statusWhen(shipped)
  })
})

describe('the token of a remote that was added at run time', () => {
  const asJson = { 'content-type': 'application/json' }
  const post = (path: string, document: object) =>
    a.json('POST', `/admin/replication/remotes${path}`, {
      ...{ headers: asJson, body: JSON.stringify(document) },
    })
  const linkedTimes = (): number => a.log.join('').split('Connected to the remote').length - 1

  test('is exchanged in the link that there is, and a refused file is read again', async () => {
    const named = (name: string, token: string) => ({ name, token })
    const both = [named('old', oldToken), named('new', newToken)]
    const auth = { tokens: [ops] }
    const reload = await startB({ auth, replication: { acceptTokens: both } })
    const replication = { mode: 'sync', syncTimeoutMs: 60_000 } as const
    const waiting = { server: { siteId: 'site-a' }, replication }
    await a.start(waiting)
    const added = await post('', { name: 'b', url: [b.url], token: oldToken })
    // A second link of this volume would end the first at the other site.
    const again = await post('', { name: 'b2', url: [b.url], token: oldToken })
    expect(again).toMatchObject({ error: { code: 'REMOTE_CONFLICT' } })
    await a.send('PUT', '/docs/one', { body: 'one' })
    await writeFile(tokenFile(), newToken)
    const changed = await post('/b', { token_file: tokenFile() })
    expect(changed).toEqual(added)
    expect((await a.send('PUT', '/docs/two', { body: 'two' })).status).toBe(200)
    const listed = await b.json('GET', '/admin/tokens', asOps)
    expect(listed.tokens[2]).toMatchObject({ name: 'new', last_used: expect.any(String) })
    expect(linkedTimes()).toBe(1)
    // The other way round than is advised: refused first, the file later.
    const third = 'third-token-0123456789-0123456789-01'
    await reload({ auth, replication: { acceptTokens: [named('third', third)] } })
    await writeFile(tokenFile(), third)
    expect((await a.send('PUT', '/docs/three', { body: 'three' })).status).toBe(200)
    await a.stop()
    await a.start(waiting)
    expect((await a.send('PUT', '/docs/four', { body: 'four' })).status).toBe(200)
    expect(await a.json('GET', '/admin/replication/remotes')).toEqual({ remotes: [added] })
    const said = a.log.join('') + b.log.join('') + JSON.stringify([added, changed])
    expect(said).not.toMatch(/new-token|old-token|third-token/)
  })

  test('is refused when its file is of no use, and what held before goes on', async () => {
    await startB({ replication: { acceptTokens: [oldToken] } })
    await a.start({ server: { siteId: 'site-a' } })
    await post('', { name: 'b', url: [b.url], token: oldToken })
    expect(await post('/b', { token_file: tokenFile() })).toMatchObject({
      error: { code: 'REMOTE_SETTINGS', message: expect.stringContaining('ENOENT') },
    })
    expect(await post('/b', { token_file: 'remote.token' })).toMatchObject({
      error: { message: 'token_file must be an absolute path' },
    })
    await a.send('PUT', '/docs/one', { body: 'one' })
    await statusWhen(shipped)
  })
})

describe('a revoked token', () => {
  test('is refused at once, also for a session that runs, and nothing is lost', async () => {
    const accepted = { name: 'site-a', token: oldToken }
    const auth = { tokens: [ops] }
    const reload = await startB({ auth, replication: { acceptTokens: [accepted] } })
    await startA()
    await a.send('PUT', '/docs/one', { body: 'one' })
    await statusWhen(shipped)
    const headers = { ...asOps.headers, 'content-type': 'application/json' }
    const body = JSON.stringify({ name: 'site-a' })
    const revoked = await b.json('POST', '/admin/tokens/revoke', { headers, body })
    expect(revoked).toMatchObject({ name: 'site-a', admin_tokens_left: 1 })
    await a.send('PUT', '/docs/two', { body: 'two' })
    const refused = await statusWhen(({ remotes }) => remotes[0]?.state === 'refused')
    expect(refused.remotes[0]?.last_error).toMatch(/401: the token site-a was revoked/)
    expect(await b.json('GET', '/admin/tokens', asOps)).toMatchObject({
      tokens: [{ name: 'ops' }, { name: 'site-a', state: 'revoked' }],
    })
    // Neither does a reload bring it back; another token does.
    const successor = { name: 'site-a', token: newToken }
    await reload({ auth, replication: { acceptTokens: [accepted, successor] } })
    await writeFile(tokenFile(), newToken)
    const done = await statusWhen(shipped)
    expect(done.events_failed).toBe(0)
    expect((await b.send('GET', '/docs/two', asOps)).status).toBe(200)
  })

  test('is refused in the middle of a batch that it began to send', async () => {
    const accepted = { name: 'site-a', token: oldToken }
    await startB({ auth: { tokens: [ops] }, replication: { acceptTokens: [accepted] } })
    const { hostname, port } = new URL(b.url)
    const sending = request({
      ...{ host: hostname, port, method: 'POST', path: '/admin/replication/batch' },
      headers: { authorization: `Bearer ${oldToken}`, 'content-length': 9 },
      agent: false,
    })
    const answered = once(sending, 'response')
    answered.catch(() => undefined) // it is awaited below, and may fail before
    sending.write('COMIO')
    const used = async () => (await b.json('GET', '/admin/tokens', asOps)).tokens[1].last_used
    while ((await used()) === null) await new Promise(setImmediate)
    const headers = { ...asOps.headers, 'content-type': 'application/json' }
    await b.send('POST', '/admin/tokens/revoke', { headers, body: '{"name":"site-a"}' })
    sending.end('RB1!')
    const [response] = await answered
    expect(response.statusCode).toBe(401)
    expect(await text(response)).toContain('TOKEN_REVOKED')
  })

  test('is refused after a restart, too', async () => {
    await startB({ auth: { tokens: [ops, { ...ops, name: 'other', token: oldToken }] } })
    const headers = { ...asOps.headers, 'content-type': 'application/json' }
    await b.send('POST', '/admin/tokens/revoke', { headers, body: '{"name":"other"}' })
    await b.stop()
    await startB({ auth: { tokens: [ops, { ...ops, name: 'other', token: oldToken }] } })
    const other = { headers: { authorization: `Bearer ${oldToken}` } }
    expect(await b.json('GET', '/admin/tokens', other)).toMatchObject({
      error: { code: 'TOKEN_REVOKED' },
    })
  })
})

describe('a reload', () => {
  test('names what else changed in the file and waits for a restart', async () => {
    const reload = await startB({ auth: { tokens: [ops] } })
    await reload({ auth: { tokens: [] }, server: { siteId: 'site-b' } })
    await reload({ server: { siteId: 'other' }, replication: { workers: 9 } })
    const said = b.records().filter(({ msg }) => String(msg).includes('were reloaded'))
    expect(said).toMatchObject([
      { msg: 'Tokens and certificates were reloaded' },
      { msg: expect.stringMatching(/needs a restart: server\.site_id, replication\.workers$/) },
    ])
  })

  test('of a broken configuration keeps what holds, and says why', async () => {
    let broken = false
    const load = async () => {
      if (broken) throw new Error('config.yaml:3: a tab indents this line')
      return testConfig(b.storage, { auth: { tokens: [ops] } })
    }
    await b.start({ auth: { tokens: [ops] } }, { load })
    broken = true
    await b.server.reload()
    expect((await b.send('GET', '/admin/tokens', asOps)).status).toBe(200)
    expect(b.log.join('')).toContain('a tab indents this line')
    expect(b.log.join('')).toContain('what held before goes on')
  })

  test('that would open a site beyond loopback to everybody is refused', async () => {
    const next = { server: { host: '0.0.0.0' }, auth: { tokens: [ops] } }
    const load = async () => testConfig(b.storage, { server: { host: '127.0.0.1' } })
    await b.start(next, { load })
    await b.server.reload()
    expect((await b.send('GET', '/docs/one')).status).toBe(401)
    expect(b.log.join('')).toContain('would let anybody in')
  })
})
