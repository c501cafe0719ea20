import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NotYet, until } from '../e2e/until.ts'
import { parseMetrics } from './parse-metrics.ts'
import { remoteAt, TestSite } from './test-site.ts'

let site: TestSite

beforeEach(async () => {
  site = await TestSite.make()
})

afterEach(() => site.remove())

const remoteAway = {
  enabled: true,
  // A port that nobody listens at: discard, on this machine.
  remotes: [remoteAt('http://127.0.0.1:9', 'the-remote-token-the-remote-token')],
}

describe('a site', () => {
  it('says that it is ready, with its real address and what it is', async () => {
    await site.start()
    const ready = site.records().find(({ msg }) => msg === 'listening')
    expect(ready).toMatchObject({
      level: 'info',
      url: site.url,
      storage: site.storage,
      head: 0,
      site_id: expect.stringMatching(/^[0-9a-f]{16}$/),
      volume_id: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    expect(Number(new URL(site.url).port)).toBeGreaterThan(0)
    expect((await stat(site.storage)).mode & 0o777).toBe(0o700)
  })

  it('keeps what it answered, and its name, over a restart', async () => {
    await site.start({ server: { siteId: 'site-a' } })
    const body = Buffer.from('the content')
    expect((await site.send('PUT', '/docs/a/b.txt', { body })).status).toBe(200)
    await site.stop()
    await site.start()
    const answer = await site.send('GET', '/docs/a/b.txt')
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual(body)
    expect(await site.json('GET', '/admin/replication/status')).toMatchObject({ site_id: 'site-a' })
  })

  it('builds the index anew from the log when it is gone or damaged', async () => {
    await site.start()
    await site.send('PUT', '/docs/kept', { body: 'kept' })
    await site.stop()
    await writeFile(join(site.storage, 'index', 'CURRENT'), 'nonsense\n')
    await site.start()
    expect((await site.send('GET', '/docs/kept')).body.toString()).toBe('kept')
    expect((await stat(join(site.storage, 'index.aside'))).isDirectory()).toBe(true)
  })

  it('keeps the index where it is told to', async () => {
    const indexPath = join(site.folder, 'elsewhere', 'index')
    await site.start({ server: { indexPath } })
    await site.send('PUT', '/docs/a', { body: 'a' })
    await site.stop()
    expect((await stat(indexPath)).isDirectory()).toBe(true)
    await expect(stat(join(site.storage, 'index'))).rejects.toThrow('ENOENT')
  })

  it('stops when its signal says so, and only once', async () => {
    const stop = new AbortController()
    await site.start({}, { signal: stop.signal })
    stop.abort()
    await site.server.closed
    await site.server.close()
    expect(site.records().filter(({ msg }) => msg === 'Stopped')).toHaveLength(1)
    await expect(site.send('GET', '/admin/health')).rejects.toThrow('ECONNREFUSED')
  })

  it('is not delayed by a remote that is away, and says so in health', async () => {
    await site.start({ replication: remoteAway })
    await site.send('PUT', '/docs/a', { body: 'a' })
    const health = await until('its health is degraded', async () => {
      const document = await site.json('GET', '/admin/health')
      return document.status === 'degraded' ? document : new NotYet(document)
    })
    expect(health.reasons).toEqual([expect.stringMatching(/^remote default is unreachable since /)])
    expect((await site.send('HEAD', '/admin/health')).status).toBe(200)
    const status = await site.json('GET', '/admin/replication/status')
    expect(status).toMatchObject({ enabled: true, events_replicated: 0, last_replication: null })
    expect(status.pending).toBeGreaterThan(0)
    expect(status.events_queued).toBe(
      status.events_replicated + status.events_failed + status.events_superseded + status.pending,
    )
    expect(status.remotes[0]).toMatchObject({ name: 'default', url: 'http://127.0.0.1:9' })
  })

  it('shows the totals of a remote that is not configured any more', async () => {
    await site.start({ replication: remoteAway })
    await site.send('PUT', '/docs/a', { body: 'a' })
    await site.stop()
    await site.start()
    const status = await site.json('GET', '/admin/replication/status')
    expect(status.enabled).toBe(false)
    expect(status.pending).toBeGreaterThan(0)
    expect(status.remotes).toMatchObject([{ name: 'default', state: 'disabled', url: '' }])
    expect((await site.json('GET', '/admin/health')).status).toBe('ok')
  })

  it('writes a line for every request at level debug, without queries and tickets', async () => {
    await site.start({ logging: { level: 'debug' } })
    const put = await site.send('PUT', '/docs/a?x-id=PutObject', { body: 'a' })
    const missing = await site.send('GET', '/admin/nothing')
    await site.send('GET', `/admin/replication/blob/${'ab'.repeat(32)}`)
    await site.stop()
    const lines = site.records().filter(({ msg }) => msg === 'Request')
    expect(lines).toMatchObject([
      {
        method: 'PUT',
        path: '/docs/a',
        status: 200,
        complete: true,
        request_id: put.headers['x-amz-request-id'],
      },
      {
        method: 'GET',
        path: '/admin/nothing',
        status: 404,
        request_id: missing.headers['x-request-id'],
      },
      { method: 'GET', path: '/admin/replication/blob/[hidden]' },
    ])
    expect(site.log.join('')).not.toContain('abab')
  })

  it('writes no token into its log, whatever happens', async () => {
    const secret = 'a-token-that-nobody-may-ever-see-1'
    await site.start({
      logging: { level: 'debug' },
      auth: { tokens: [{ name: 'x', role: 'admin', token: secret }] },
      replication: {
        enabled: true,
        remotes: [remoteAt('http://127.0.0.1:9', secret)],
        acceptTokens: [secret],
      },
    })
    const headers = { authorization: `Bearer ${secret}` }
    await site.send('PUT', '/docs/a', { body: 'a', headers })
    await site.send('GET', `/docs/${secret}`, { headers })
    await site.send('POST', '/admin/replication/batch', { body: 'nonsense', headers })
    await site.stop()
    expect(site.log.length).toBeGreaterThan(5)
    expect(site.log.join('')).not.toContain(secret)
  })
})

describe('a site does not start', () => {
  it('when its port is taken, and leaves the storage to others', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await expect(site.start({ server: { port } })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
    await expect(stat(site.storage)).rejects.toThrow('ENOENT')
    other.close()
    await site.start()
  })

  it('over a volume that is in use, and names the process', async () => {
    await site.start()
    const second = await TestSite.make()
    const starting = second.start({ server: { storagePath: site.storage } })
    await expect(starting).rejects.toMatchObject({
      code: 'VOLUME_IN_USE',
      message: expect.stringContaining(String(process.pid)),
    })
    await second.remove()
    expect((await site.send('GET', '/admin/health')).status).toBe(200)
  })

  it('in a folder with other things in it, which it does not touch', async () => {
    await mkdir(site.storage)
    await writeFile(join(site.storage, 'thesis.doc'), 'mine')
    await expect(site.start()).rejects.toMatchObject({ code: 'STORAGE_PATH' })
    await expect(stat(join(site.storage, 'segments'))).rejects.toThrow('ENOENT')
  })

  it.each(['directory', 'file'] as const)(
    'in a %s that is too small, says so in sizes as people write them, and leaves nothing behind',
    async (storageType) => {
      const storagePath = join(site.storage, 'made', 'for', 'nothing')
      const server = { storagePath, storageType, storageSize: 2 ** 20 }
      await expect(site.start({ server })).rejects.toThrow(/1\.0 MiB is too small for a volume/)
      await expect(stat(site.storage)).rejects.toThrow('ENOENT')
      await mkdir(site.storage)
      await expect(site.start({ server })).rejects.toThrow(/too small/)
      expect(await readdir(site.storage)).toEqual([])
    },
  )

  it('on a file with something else in it, or on a block device without a place for the index', async () => {
    await writeFile(site.storage, 'x')
    await expect(site.start()).rejects.toMatchObject({ code: 'DEVICE_FOREIGN' })
    const disk = ['/dev/loop0', '/dev/vda', '/dev/sda', '/dev/nvme0n1'].find(existsSync)
    if (disk === undefined) return
    await expect(site.start({ server: { storagePath: disk } })).rejects.toMatchObject({
      code: 'STORAGE_PATH',
      hint: expect.stringContaining('server.index_path'),
    })
  })

  it('where no index can be made', async () => {
    const file = join(site.folder, 'file')
    await writeFile(file, 'x')
    await expect(site.start({ server: { indexPath: join(file, 'index') } })).rejects.toMatchObject({
      code: 'INDEX_OPEN_FAILED',
    })
  })

  it.skipIf(process.getuid?.() === 0)('without permission for the path', async () => {
    await chmod(site.folder, 0o500)
    try {
      await expect(site.start()).rejects.toMatchObject({ code: 'STORAGE_PATH' })
    } finally {
      await chmod(site.folder, 0o700)
    }
  })

  it('as another site than the volume belongs to', async () => {
    await site.start({ server: { siteId: 'site-a' } })
    await site.stop()
    await expect(site.start({ server: { siteId: 'site-b' } })).rejects.toMatchObject({
      code: 'SITE_ID_MISMATCH',
    })
  })

  it('beyond loopback without tokens', async () => {
    await expect(site.start({ server: { host: '0.0.0.0' } })).rejects.toMatchObject({
      code: 'UNPROTECTED_LISTENER',
      hint: expect.stringContaining('--allow-anonymous'),
    })
    await expect(stat(site.storage)).rejects.toThrow('ENOENT')
  })
})

describe('the planes', () => {
  it('answer purge with a preview, and purge when it is confirmed', async () => {
    await site.start()
    for (const name of ['a', 'b', 'c']) {
      await site.send('PUT', `/docs/${name}`, { body: 'x'.repeat(1000) })
    }
    await site.send('PUT', '/other/kept', { body: 'kept' })
    expect(await site.json('DELETE', '/admin/docs/objects')).toEqual({ count: 3, total_size: 3000 })
    expect((await site.send('GET', '/docs/a')).status).toBe(200)
    expect(await site.json('DELETE', '/admin/docs/objects?confirm=true')).toEqual({
      deleted_count: 3,
      freed_size: 3000,
    })
    expect((await site.send('GET', '/docs/a')).status).toBe(404)
    expect((await site.send('GET', '/other/kept')).status).toBe(200)
    expect(await site.json('DELETE', '/admin/docs/objects')).toEqual({ count: 0, total_size: 0 })
    expect((await site.send('DELETE', '/admin/nowhere/objects')).status).toBe(404)
  })

  it('count themselves', async () => {
    await site.start()
    await site.send('PUT', '/docs/a', { body: 'x'.repeat(100) })
    await site.send('GET', '/docs/a')
    await site.send('GET', '/docs/missing')
    await site.send('GET', '/admin/health')
    const answer = await site.send('GET', '/admin/metrics')
    expect(answer.headers['content-type']).toContain('text/plain')
    const samples = parseMetrics(answer.body.toString())
    const requests = (operation: string, status: number) =>
      samples.get(`comio_http_requests_total{operation="${operation}",status="${status}"}`)
    expect(requests('PutObject', 200)).toBe(1)
    expect(requests('GetObject', 200)).toBe(1)
    expect(requests('GetObject', 404)).toBe(1)
    expect(requests('AdminHealth', 200)).toBe(1)
    expect(samples.get('comio_store_buckets')).toBe(1)
    expect(samples.get('comio_store_objects')).toBe(1)
    expect(samples.get('comio_store_object_bytes')).toBe(100)
    expect(samples.get('comio_volume_capacity_bytes')).toBe(64 * 2 ** 20)
    expect(samples.get('comio_volume_used_bytes')).toBeGreaterThan(0)
    expect(samples.get('comio_http_body_bytes_in_flight')).toBe(0)
  })

  it('share one listener by path', async () => {
    await site.start()
    const admin = await site.send('GET', '/admin/nothing')
    expect([admin.status, admin.headers['content-type']]).toEqual([
      404,
      'application/json; charset=utf-8',
    ])
    const data = await site.send('GET', '/administration/x')
    expect([data.status, data.headers['content-type']]).toEqual([404, 'application/xml'])
    expect((await site.send('PUT', '/admin', {})).status).toBe(404)
    const batch = await site.send('POST', '/admin/replication/batch')
    expect(batch.status).toBe(403)
    expect(batch.body.toString()).toContain('--replication-accept-token')
    const blob = await site.send('GET', `/admin/replication/blob/${'0'.repeat(64)}`, {
      headers: { range: 'bytes=0-1' },
    })
    expect(blob.status).toBe(404)
  })

  it('refuse web pages on loopback, health and the replication streams aside', async () => {
    await site.start({ replication: { acceptTokens: ['accepted-accepted-accepted-accepted'] } })
    const foreign = { host: 'evil.example' }
    expect((await site.send('GET', '/', { headers: foreign })).status).toBe(403)
    expect((await site.send('PUT', '/docs/k', { headers: foreign, body: 'x' })).status).toBe(403)
    expect((await site.send('GET', '/admin/metrics', { headers: foreign })).status).toBe(403)
    expect((await site.send('GET', '/admin/health', { headers: foreign })).status).toBe(200)
    const origin = { origin: 'http://evil.example' }
    expect((await site.send('GET', '/', { headers: origin })).status).toBe(403)
    const authorized = { ...foreign, authorization: 'Bearer accepted-accepted-accepted-accepted' }
    const batch = await site.send('POST', '/admin/replication/batch', { headers: authorized })
    expect(batch.status).toBe(400)
  })

  it('ask for tokens on every plane once there are some', async () => {
    await site.start({
      auth: {
        tokens: [
          { name: 'r', role: 'read', token: 'reader' },
          { name: 'w', role: 'write', token: 'writer' },
          { name: 'a', role: 'admin', token: 'keeper' },
        ],
      },
      replication: { acceptTokens: ['sender'] },
    })
    const statusOf = async (method: string, path: string, token?: string): Promise<number> => {
      const headers: Record<string, string> =
        token === undefined ? {} : { authorization: `Bearer ${token}` }
      if (method === 'POST') headers['content-type'] = 'application/json'
      const body = method === 'PUT' ? 'x' : method === 'POST' ? '{"all":true}' : ''
      return (await site.send(method, path, { headers, body })).status
    }
    const callers = [undefined, 'wrong', 'sender', 'reader', 'writer', 'keeper']
    const row = async (method: string, path: string): Promise<readonly number[]> => {
      const statuses: number[] = []
      for (const caller of callers) statuses.push(await statusOf(method, path, caller))
      return statuses
    }
    expect(await row('PUT', '/docs/k')).toEqual([401, 401, 403, 403, 200, 200])
    expect(await row('GET', '/docs/k')).toEqual([401, 401, 403, 200, 200, 200])
    expect(await row('GET', '/admin/replication/status')).toEqual([401, 401, 403, 200, 200, 200])
    expect(await row('GET', '/admin/metrics')).toEqual([401, 401, 403, 200, 200, 200])
    expect(await row('DELETE', '/admin/docs/objects')).toEqual([401, 401, 403, 403, 403, 200])
    expect(await row('POST', '/admin/replication/replay')).toEqual([401, 401, 403, 403, 403, 404])
    expect(await row('POST', '/admin/replication/batch')).toEqual([401, 401, 400, 403, 403, 403])
    expect(await row('GET', '/admin/health')).toEqual([200, 200, 200, 200, 200, 200])
  })

  it('open only the data plane to everybody beyond loopback', async () => {
    await site.start({ server: { host: '0.0.0.0', allowAnonymous: true } })
    const headers = { host: 'site-b.example.com' }
    expect((await site.send('PUT', '/docs/k', { headers, body: 'x' })).status).toBe(200)
    expect((await site.send('GET', '/docs/k', { headers })).status).toBe(200)
    expect((await site.send('GET', '/admin/health', { headers })).status).toBe(200)
    for (const host of ['site-b.example.com', '127.0.0.1']) {
      const answer = await site.send('GET', '/admin/replication/status', { headers: { host } })
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toContain('Bearer')
      expect(answer.body.toString()).toContain('auth.tokens')
    }
  })

  it('answer 401 to a batch without reading its body, and the sender sees the answer', async () => {
    await site.start({ replication: { acceptTokens: ['accepted-accepted-accepted-accepted'] } })
    const socket = connect(Number(new URL(site.url).port), '127.0.0.1')
    socket.write(
      'POST /admin/replication/batch HTTP/1.1\r\nHost: b\r\n' +
        'Authorization: Bearer wrong\r\nContent-Length: 1000000000\r\n\r\n',
    )
    // Not a byte of the body has been sent, and the whole answer is here.
    const [first] = await once(socket, 'data')
    let text = String(first)
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.write(Buffer.alloc(500_000))
    socket.end()
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 401 /)
    expect(text.toLowerCase()).toContain('connection: close')
    expect(text.toLowerCase()).toContain('www-authenticate: bearer')
    expect(text).toContain('UNAUTHENTICATED')
  })

  it('asks for no body when a batch waits for 100 Continue with a wrong token', async () => {
    await site.start({ replication: { acceptTokens: ['accepted-accepted-accepted-accepted'] } })
    const socket = connect(Number(new URL(site.url).port), '127.0.0.1')
    socket.write(
      'POST /admin/replication/batch HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\n' +
        'Content-Length: 1000\r\n\r\n',
    )
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    await once(socket, 'close')
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 401 /)
  })

  it('refuse a replay where there never was a remote, and one of an unknown name', async () => {
    await site.start()
    const headers = { 'content-type': 'application/json' }
    const replay = (body: string) =>
      site.send('POST', '/admin/replication/replay', { headers, body })
    expect((await replay('{"all":true}')).status).toBe(404)
    await site.stop()
    await site.start({ replication: remoteAway })
    await site.send('PUT', '/docs/a', { body: 'abc' })
    expect((await replay('{"all":true,"remote":"nobody"}')).status).toBe(404)
    const dry = await replay('{"all":true,"dry_run":true}')
    expect(dry.status).toBe(200)
    expect(Object.keys(JSON.parse(dry.body.toString()))).toEqual(['count', 'bytes', 'through'])
    expect(await site.json('GET', '/admin/replication/failed')).toEqual({ failed: [] })
  })
})
