import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AdminClient } from '../../src/admin/client.ts'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import type { RemoteConfig } from '../../src/config/remote-entry.ts'
import type { ListenerTlsConfig } from '../../src/config/server-config.ts'
import { FolderFiles } from '../../src/device/small-files.ts'
import { createHttpTransport } from '../../src/replication/http/http-transport.ts'
import { systemTrust } from '../../src/replication/http/tls-connector.ts'
import { AccessControl } from '../../src/server/credentials/access.ts'
import { Reloading, readCertificates } from '../../src/server/credentials/reloading.ts'
import { RemoteCertificates } from '../../src/server/credentials/remote-certificates.ts'
import { RemoteTokens } from '../../src/server/credentials/remote-token.ts'
import { RevokedTokens } from '../../src/server/credentials/revoked-tokens.ts'
import { SiteTokens } from '../../src/server/credentials/token-control.ts'
import { Listener } from '../../src/server/listener/listener.ts'
import { settingsOf, tlsSettingsOf } from '../../src/server/remotes/remote-settings.ts'
import { until as eventually, NotYet } from '../e2e/until.ts'
import { ManualClock, settleTasks } from '../replication/manual-clock.ts'
import { unlimitedTraffic } from '../replication/memory-pair.ts'
import { Certificates, hasOpenssl } from './certificates.ts'
import { type ConfigChanges, remoteAt, standingOf, TestSite, testConfig } from './test-site.ts'

let made: Certificates
beforeAll(async () => {
  made = await Certificates.make()
  if (!hasOpenssl) return
  for (const authority of ['ca', 'client-ca', 'other-ca']) made.issue(authority)
  made.issue('first', { issuer: 'ca' })
  made.issue('second', { issuer: 'ca' })
  made.issue('short', { issuer: 'ca', days: 3 })
  made.issue('client', { issuer: 'client-ca' })
  made.issue('stranger', { issuer: 'other-ca' })
})
afterAll(() => made.remove())

function tlsOf(changes: Partial<ListenerTlsConfig> = {}): ListenerTlsConfig {
  return {
    cert: made.path('site.pem'),
    key: made.path('site.key'),
    clientCa: undefined,
    clientAuth: 'none',
    minVersion: 'TLSv1.2',
    ...changes,
  }
}

const withClients = (clientAuth: 'request' | 'require'): ListenerTlsConfig =>
  tlsOf({ clientAuth, clientCa: made.path('client-ca.pem') })

let site: TestSite
beforeEach(async () => {
  site = await TestSite.make()
  if (hasOpenssl) await made.replace('site', 'first')
})
afterEach(() => site.remove())

const start = (tls: ListenerTlsConfig, changes: ConfigChanges = {}) =>
  site.start({ ...changes, server: { ...changes.server, tls } })

interface Seen {
  readonly status: number
  /** Of the certificate that the site showed. */
  readonly serial: string
}

/** A request that trusts `ca` and shows the certificate `client`, on a connection of its own. */
async function get(path: string, client?: string): Promise<Seen> {
  const ca = await made.text('ca.pem')
  const shown =
    client === undefined
      ? {}
      : { cert: await made.text(`${client}.pem`), key: await made.text(`${client}.key`) }
  const request = secureRequest(site.url + path, { ca, ...shown, agent: false })
  request.end()
  const [response] = await once(request, 'response')
  const { serialNumber } = response.socket.getPeerCertificate()
  await text(response)
  return { status: response.statusCode, serial: serialNumber }
}

describe.skipIf(!hasOpenssl)('a site with TLS', () => {
  test('says https in its address, and answers there', async () => {
    await start(tlsOf())
    expect(site.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    expect(site.records().find(({ msg }) => msg === 'listening')?.url).toBe(site.url)
    expect((await get('/admin/health')).status).toBe(200)
  })

  test('tells whoever sends plain HTTP to use https', async () => {
    await start(tlsOf())
    const url = `${site.url.replace('https', 'http')}/photos/a`
    const request = plainRequest(url, { method: 'PUT', agent: false })
    request.end(Buffer.alloc(100_000))
    const [response] = await once(request, 'response')
    expect(response.statusCode).toBe(426)
    expect(JSON.parse(await text(response))).toMatchObject({ error: { code: 'TLS_REQUIRED' } })
    const transport = createHttpTransport({
      ...{
        url: site.url.replace('https', 'http'),
        token: 'some-token',
        workers: 1,
        clock: systemClock,
        traffic: unlimitedTraffic(systemClock),
        allowPlaintext: false,
      },
    })
    const sending = transport.sendBatch([Buffer.from('x')], new AbortController().signal)
    await expect(sending).rejects.toThrow(/426: this port speaks https/)
    await transport.close()
  })

  test('ends within its grace although somebody is connected and says nothing', async () => {
    await start(tlsOf())
    const silent = connectTcp(Number(new URL(site.url).port), '127.0.0.1')
    await once(silent, 'connect')
    const closed = once(silent, 'close')
    await site.stop()
    await closed
  })

  test('speaks no earlier version than it is told to', async () => {
    await start(tlsOf({ minVersion: 'TLSv1.3' }))
    const { port } = new URL(site.url)
    const ca = await made.text('ca.pem')
    const old = connectTls({ port: Number(port), host: '127.0.0.1', ca, maxVersion: 'TLSv1.2' })
    await expect(once(old, 'secureConnect')).rejects.toThrow(/protocol version/)
  })

  test('that requires client certificates lets in nobody without a good one', async () => {
    await start(withClients('require'))
    expect((await get('/admin/health', 'client')).status).toBe(200)
    await expect(get('/admin/health')).rejects.toThrow()
    await expect(get('/admin/health', 'stranger')).rejects.toThrow()
  })

  test('that requests them lets in who has none, but nobody with a bad one', async () => {
    await start(withClients('request'))
    expect((await get('/admin/health', 'client')).status).toBe(200)
    expect((await get('/admin/health')).status).toBe(200)
    await expect(get('/admin/health', 'stranger')).rejects.toThrow()
  })

  test('is asked with its issuer and a certificate, and without them it is said what is missing', async () => {
    await start(withClients('require'))
    const ca = await made.text('ca.pem')
    const pair = { cert: await made.text('client.pem'), key: await made.text('client.key') }
    const ask = async (tls: object) => {
      const client = new AdminClient({ url: site.url, tls })
      return client.health().finally(() => client.close())
    }
    expect(await ask({ ca, ...pair })).toMatchObject({ status: 'ok' })
    await expect(ask({})).rejects.toThrow(/name the issuer with --ca/)
    await expect(ask({ ca })).rejects.toThrow(/client certificate/)
    const options = {
      ...{ url: site.url, token: 'some-token', workers: 1, allowPlaintext: false },
      ...{ clock: systemClock, traffic: unlimitedTraffic(systemClock) },
    }
    const transport = createHttpTransport({ ...options, tls: () => ({ ca }) })
    const sending = transport.sendBatch([Buffer.from('x')], new AbortController().signal)
    await expect(sending).rejects.toThrow(/cut: if it wants a client certificate, set replication/)
    await transport.close()
  })

  test('that a remote cannot trust is named with the setting of that remote', async () => {
    await start(tlsOf())
    const remote = { name: 'b', url: site.url, token: 'some-token-of-32-letters-or-more' }
    const foreign = { ca: await made.text('client-ca.pem') }
    const words = async (document: object, isAdded: boolean): Promise<string> => {
      const { remote: parsed } = settingsOf({ ...remote, ...document })
      const transport = createHttpTransport({
        ...{ url: site.url, token: 'some-token', workers: 1, allowPlaintext: false },
        ...{ clock: systemClock, traffic: unlimitedTraffic(systemClock) },
        tls: () => foreign,
        tlsSettings: tlsSettingsOf(parsed, isAdded),
      })
      const sending = transport.sendBatch([Buffer.from('x')], new AbortController().signal)
      const error: unknown = await sending.catch((thrown: unknown) => thrown)
      await transport.close()
      return (error as Error).message
    }
    expect(await words({}, false)).toMatch(/the issuer with replication.ca$/)
    expect(await words(foreign, false)).toMatch(/the issuer with ca of b in replication.remotes$/)
    expect(await words({}, true)).toMatch(/with comio repl remote set b --remote-ca FILE$/)
  })

  test('names the file that it cannot use, and does not start', async () => {
    await writeFile(made.path('broken.pem'), 'nothing')
    const broken = start(tlsOf({ cert: made.path('broken.pem') }))
    await expect(broken).rejects.toMatchObject({ code: 'TLS_FILES' })
    const foreign = start(tlsOf({ key: made.path('second.key') }))
    await expect(foreign).rejects.toThrow(/do not fit together/)
  })

  test('says in its health that its certificate is about to expire', async () => {
    await made.replace('site', 'short')
    await start(tlsOf())
    const client = new AdminClient({ url: site.url, tls: { ca: await made.text('ca.pem') } })
    expect(await client.health()).toEqual({
      status: 'degraded',
      reasons: ["this site's certificate expires within a week"],
      role: 'primary',
    })
    await client.close()
  })
})

describe.skipIf(!hasOpenssl)('renewing certificates', () => {
  test('gives new connections the new one and keeps those that are open', async () => {
    await made.replace('site', 'first')
    const [cert, key] = [await made.text('first.pem'), await made.text('first.key')]
    const listener = await Listener.open({
      address: { host: '127.0.0.1', port: 0 },
      logger: silentLogger,
      tls: { cert, key, ca: undefined, clientAuth: 'none', minVersion: 'TLSv1.2' },
    })
    listener.serve((_request, response) => response.end('ok'))
    const ca = await made.text('ca.pem')
    const dial = async () => {
      const socket = connectTls({ port: listener.address.port, host: '127.0.0.1', ca })
      await once(socket, 'secureConnect')
      return socket
    }
    const open = await dial()
    listener.renewTls({
      ...{ cert: await made.text('second.pem'), key: await made.text('second.key') },
      ca: undefined,
    })
    const next = await dial()
    expect(next.getPeerCertificate().serialNumber).not.toBe(open.getPeerCertificate().serialNumber)
    open.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(await text(open)).toContain('200 OK')
    next.destroy()
    await listener.close(0)
  })

  test('happens at a reload, and not for files that do not fit together', async () => {
    const tls = tlsOf()
    const load = async () => testConfig(site.storage, { server: { tls } })
    await site.start({ server: { tls } }, { load })
    const { serial } = await get('/admin/health')
    await writeFile(made.path('site.key'), await made.text('second.key'))
    await site.server.reload()
    expect((await get('/admin/health')).serial).toBe(serial)
    expect(site.log.join('')).toMatch(/do not fit together/)
    await made.replace('site', 'second')
    await site.server.reload()
    expect((await get('/admin/health')).serial).not.toBe(serial)
  })

  test('reaches every thread that takes connections', async () => {
    const changes = { server: { tls: tlsOf(), threads: 3 } }
    await site.start(changes, { load: async () => testConfig(site.storage, changes) })
    const { serial } = await get('/admin/health')
    await made.replace('site', 'second')
    await site.server.reload()
    // Which thread a connection comes to is the system's to say: so many miss none of three.
    const serials = async (): Promise<ReadonlySet<string>> => {
      const seen = await Promise.all(Array.from({ length: 40 }, () => get('/admin/health')))
      return new Set(seen.map((one) => one.serial))
    }
    const shown = await eventually('all show the new certificate', async () => {
      const found = await serials()
      return found.size === 1 ? found : new NotYet([...found])
    })
    expect(shown.has(serial)).toBe(false)
  })
})

describe.skipIf(!hasOpenssl)('certificate files that change', () => {
  test('are taken over at the next look, once, and not while they do not fit together', async () => {
    const clock = new ManualClock()
    const config = testConfig(site.storage, { server: { tls: tlsOf() } })
    const access = new AccessControl({
      ...{ loopback: true, allowAnonymous: false, tokens: [], acceptTokens: [] },
    })
    const revoked = await RevokedTokens.open(new FolderFiles(site.folder))
    const logged: string[] = []
    const logger = { ...silentLogger, error: (_: object, text: string) => void logged.push(text) }
    const certificates: string[] = []
    const reloading = new Reloading(
      {
        ...{ config, access, clock, logger },
        load: undefined,
        check: () => undefined,
        tokens: new SiteTokens({ table: access.tokens, revoked, clock, logger }),
        listener: { renewTls: ({ cert }) => void certificates.push(cert) },
        remoteTokens: new RemoteTokens([], { logger, onToken: () => undefined }),
        remoteCertificates: new RemoteCertificates(systemTrust, logger),
        hide: () => undefined,
      },
      await readCertificates(config),
    )
    reloading.watch()
    const passTime = async (): Promise<void> => {
      clock.advance(10_000)
      // Behind the look that the timer began; by itself it finds nothing new.
      await reloading.lookAtFiles()
      await settleTasks()
    }
    await passTime()
    expect(certificates).toEqual([])
    await writeFile(made.path('site.key'), await made.text('second.key'))
    await passTime()
    await passTime()
    expect(certificates).toEqual([])
    expect(logged).toHaveLength(1)
    await writeFile(made.path('site.pem'), await made.text('second.pem'))
    await passTime()
    await passTime()
    expect(certificates).toEqual([await made.text('second.pem')])
    await reloading.close()
  })
})

describe.skipIf(!hasOpenssl)('two sites that show certificates to each other', () => {
  const token = 'a-token-for-site-a-to-write-to-b'
  let a: TestSite
  beforeEach(async () => {
    a = await TestSite.make()
  })
  afterEach(() => a.remove())

  test('ship small objects one way and pull large ones the other way', async () => {
    const files = {
      ca: made.path('ca.pem'),
      clientCert: made.path('client.pem'),
      clientKey: made.path('client.key'),
    }
    const tls = withClients('require')
    await start(tls, {
      server: { siteId: 'site-b' },
      replication: { acceptTokens: [token], ...files },
    })
    const remote = { enabled: true, remotes: [remoteAt(site.url, token)], retryDelayMs: 200 }
    await a.start({
      server: { siteId: 'site-a', tls },
      replication: { ...remote, inlineLimit: 64 * 1024, ...files },
    })
    const shown = await shownBy('client')
    const put = (key: string, body: Buffer) =>
      new Promise<number>((resolve, reject) => {
        const request = secureRequest(`${a.url}/docs/${key}`, { method: 'PUT', ...shown })
        request.on('response', (response) => resolve(response.resume().statusCode ?? 0))
        request.on('error', reject)
        request.end(body)
      })
    expect(await put('small', Buffer.from('small'))).toBe(200)
    expect(await put('large', Buffer.alloc(300_000, 7))).toBe(200)
    const client = new AdminClient({ url: a.url, tls: shown })
    await shipped(client)
    await client.close()
    expect((await get('/docs/large', 'client')).status).toBe(200)
    expect((await get('/docs/small', 'client')).status).toBe(200)
  })
  test('may have a remote with an issuer and a pair of its own, from files and at run time', async () => {
    await start(withClients('require'), {
      server: { siteId: 'site-b' },
      replication: { acceptTokens: [token] },
    })
    const files = { ca: 'ca.pem', clientCert: 'own.pem', clientKey: 'own.key' }
    const tls = Object.fromEntries(
      Object.entries(files).map(([field, name]) => [field, made.path(name)]),
    ) as unknown as RemoteConfig['tls']
    await made.replace('own', 'stranger')
    const remote = { ...remoteAt(site.url, token), tls }
    const changes: ConfigChanges = {
      server: { siteId: 'site-a' },
      replication: { enabled: true, remotes: [remote], retryDelayMs: 100 },
    }
    await a.start(changes, { load: async () => testConfig(a.storage, changes) })
    await a.send('PUT', '/docs/first', { body: 'first' })
    const client = new AdminClient({ url: a.url })
    await until(client, ({ remotes }) => remotes[0]?.last_error != null)
    await made.replace('own', 'client')
    await a.server.reload()
    await shipped(client)

    await client.removeRemote('default')
    const texts = { ca: await made.text('ca.pem'), client_cert: await made.text('own.pem') }
    const added = { name: 'late', url: site.url, token, ...texts }
    await expect(client.addRemote(added)).rejects.toThrow(/client_cert and client_key go together/)
    const withPath = { ...added, client_key: made.path('own.key') }
    await expect(client.addRemote(withPath)).rejects.toThrow(/no paths/)
    await client.addRemote({ ...added, client_key: await made.text('own.key') })
    await a.send('PUT', '/docs/second', { body: 'second' })
    await shipped(client)
    await client.close()
    expect((await get('/docs/first', 'client')).status).toBe(200)
    expect((await get('/docs/second', 'client')).status).toBe(200)
  })
})

async function shownBy(name: string) {
  const pair = { cert: await made.text(`${name}.pem`), key: await made.text(`${name}.key`) }
  return { ca: await made.text('ca.pem'), ...pair }
}

const shipped = (client: AdminClient) => until(client, ({ pending }) => pending === 0)

function until(
  client: AdminClient,
  holds: (status: ReplicationStatusDocument) => boolean,
): Promise<unknown> {
  return eventually('the status is as wanted', async () => {
    const status = await client.status()
    return holds(status) ? true : new NotYet(standingOf(status))
  })
}
