import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type Server,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../src/admin/control-plane.ts'
import { NoSuchRemoteError, RemoteConflictError } from '../../src/admin/errors.ts'
import type {
  ControlObservation,
  ControlPlaneOptions,
  RemotesControl,
  ReplayOrder,
} from '../../src/admin/ports.ts'
import type { RemoteDocument, ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { NoSuchBucketError, StorageFullError } from '../../src/store/errors.ts'
import { VolumeReadOnlyError } from '../../src/volume/errors.ts'
import { exampleVerify } from './example-verify.ts'
import { fakeTokens } from './fake-tokens.ts'
import { ListedConflicts } from './listed-conflicts.ts'

const statusDocument: ReplicationStatusDocument = {
  enabled: true,
  events_queued: 1523,
  events_replicated: 1500,
  events_failed: 23,
  events_superseded: 0,
  pending: 0,
  lag_seconds: 0.25,
  last_replication: '2025-12-03T21:00:00Z',
  site_id: 'site-a',
  volume_id: '00112233445566778899aabbccddeeff',
  remotes: [
    {
      name: 'default',
      url: 'http://127.0.0.1:9',
      state: 'idle',
      state_since: '2025-12-03T20:00:00Z',
      cursor: 1523,
      head: 1523,
      pending_events: 0,
      pending_bytes: 0,
      oldest_pending: null,
      ...{ in_flight: 0, pulling: 0 },
      rate: 1.5,
      ...{ wire_bytes: 0, saved_bytes: 0, lag_p50_ms: 3.5, lag_p99_ms: null },
      events_queued: 1523,
      events_replicated: 1500,
      events_failed: 23,
      events_superseded: 0,
      remote_superseded: 1,
      remote_conflicts: 2,
      last_replication: '2025-12-03T21:00:00Z',
      last_error: 'remote returned 400: no',
      ...{ last_error_at: '2025-12-03T20:59:00Z', verify: null },
    },
  ],
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

const linked: RemoteDocument = {
  name: 'site-b',
  urls: ['http://127.0.0.1:9'],
  source: 'added',
  paused: false,
  epoch: 7,
  buckets: ['docs'],
  exclude_buckets: [],
  prefixes: [],
  exclude_prefixes: [],
}

const remotesControl: RemotesControl = {
  list: () => [linked],
  add: async (document) => {
    if (document.name === 'taken') throw new RemoteConflictError('it is there already')
    return linked
  },
  set: async () => linked,
  remove: async (name) => ({ name, told: false, reason: 'it is away' }),
  pause: async (name) => ({ ...linked, name, paused: true }),
  resume: async (name) => ({ ...linked, name }),
}

type Changes = Partial<ControlPlaneOptions & { readonly logger: Logger }>

class Bench {
  readonly purged: string[] = []
  readonly replays: ReplayOrder[] = []
  readonly observations: ControlObservation[] = []
  plane: ControlPlane | undefined
  readonly server: Server = createServer()

  async start(changes: Changes = {}): Promise<this> {
    this.plane = await createControlPlane({
      store: {
        previewPurge: async (bucket) => {
          if (bucket === 'nowhere') throw new NoSuchBucketError(bucket)
          return { count: 3, bytes: 4096 }
        },
        headObject: () => undefined,
        purgeBucket: async (bucket) => {
          if (bucket === 'full') throw new StorageFullError({ wanted: 1 })
          if (bucket === 'read-only') throw new VolumeReadOnlyError('two writes failed')
          this.purged.push(bucket)
          return { count: 3, bytes: 4096 }
        },
      },
      conflicts: new ListedConflicts(),
      replication: {
        status: async () => statusDocument,
        failed: async () => ({
          failed: [
            {
              remote: 'default',
              seq: 7,
              bucket: 'docs',
              key: null,
              bytes: 0,
              reason: 'remote returned 400: no',
              attempts: 3,
              time: '2025-12-03T21:00:00.000Z',
            },
          ],
        }),
        replay: async (order) => {
          if (order.remote === 'nobody') throw new NoSuchRemoteError('no such remote')
          this.replays.push(order)
          return { count: 2, bytes: 20 }
        },
      },
      remotes: remotesControl,
      tokens: fakeTokens,
      verify: exampleVerify([]),
      health: async () => ({ serving: true, document: { status: 'ok', reasons: [] } }),
      metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'a_metric 1\n' }),
      authorize: () => undefined,
      observe: (observation) => this.observations.push(observation),
      logger: silentLogger,
      random: seededRandom(7),
      ...changes,
    })
    const { plane } = this
    this.server.on('request', (request, response) => plane.handle(request, response))
    this.server.on('checkContinue', (request, response) => plane.handle(request, response))
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  send(
    method: string,
    path: string,
    options: { headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { ...options.headers }
      if (options.body !== undefined) {
        headers['content-length'] = String(Buffer.byteLength(options.body))
        headers['content-type'] ??= 'application/json'
      }
      const request = httpRequest({ port: this.port, method, path, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        )
      })
      request.on('error', reject)
      request.end(options.body)
    })
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
    await this.plane?.close()
  }
}

let bench: Bench

async function start(changes: Changes = {}): Promise<Bench> {
  bench = await new Bench().start(changes)
  return bench
}

afterEach(() => bench.close())

describe('health', () => {
  it('answers 200 and the document while the site serves', async () => {
    await start()
    const answer = await bench.send('GET', '/admin/health')
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(JSON.parse(answer.text)).toEqual({ status: 'ok', reasons: [] })
  })

  it('answers 200 with reasons while degraded, and 503 only when nothing can be served', async () => {
    let serving = true
    await start({
      health: async () => ({
        serving,
        document: { status: 'degraded', reasons: ['the volume is full'] },
      }),
    })
    expect((await bench.send('GET', '/admin/health')).status).toBe(200)
    serving = false
    const answer = await bench.send('GET', '/admin/health')
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.text)).toEqual({
      status: 'degraded',
      reasons: ['the volume is full'],
    })
  })

  it('answers HEAD without a body', async () => {
    await start()
    const answer = await bench.send('HEAD', '/admin/health')
    expect(answer.status).toBe(200)
    expect(answer.text).toBe('')
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(10)
  })

  it('bears a query that a probe adds', async () => {
    await start()
    expect((await bench.send('GET', '/admin/health?t=1')).status).toBe(200)
  })
})

describe('purge', () => {
  it('previews without confirm, and removes nothing', async () => {
    await start()
    for (const path of ['/admin/docs/objects', '/admin/docs/objects?confirm=false']) {
      const answer = await bench.send('DELETE', path)
      expect(answer.status).toBe(200)
      expect(JSON.parse(answer.text)).toEqual({ count: 3, total_size: 4096 })
    }
    expect(bench.purged).toEqual([])
  })

  it('purges with confirm=true', async () => {
    await start()
    const answer = await bench.send('DELETE', '/admin/docs/objects?confirm=true')
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual({ deleted_count: 3, freed_size: 4096 })
    expect(bench.purged).toEqual(['docs'])
  })

  it.each([
    '/admin/docs/objects?confirm=yes',
    '/admin/docs/objects?Confirm=true',
    '/admin/docs/objects?confirm=true&confirm=true',
    '/admin/docs/objects?confirm=true&prefix=a',
    '/admin/Docs/objects?confirm=true',
    '/admin/d%2Fx/objects?confirm=true',
  ])('refuses %s', async (path) => {
    await start()
    const answer = await bench.send('DELETE', path)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text).error.code).toBe('INVALID_REQUEST')
    expect(bench.purged).toEqual([])
  })

  it('answers 404 for a bucket that does not exist and 507 when the volume is full', async () => {
    await start()
    const missing = await bench.send('DELETE', '/admin/nowhere/objects')
    expect(missing.status).toBe(404)
    expect(JSON.parse(missing.text).error.code).toBe('NO_SUCH_BUCKET')
    const still = await bench.send('DELETE', '/admin/read-only/objects?confirm=true')
    expect(still.status).toBe(503)
    expect(JSON.parse(still.text)).toMatchObject({ error: { code: 'VOLUME_READ_ONLY' } })
    const full = await bench.send('DELETE', '/admin/full/objects?confirm=true')
    expect(full.status).toBe(507)
    expect(JSON.parse(full.text).error.code).toBe('STORAGE_FULL')
  })
})

describe('replication', () => {
  it('serialises every field of the status document', async () => {
    await start()
    const answer = await bench.send('GET', '/admin/replication/status')
    expect(answer.status).toBe(200)
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(JSON.parse(answer.text)).toEqual(statusDocument)
  })

  it('lists the dead letters', async () => {
    await start()
    const answer = await bench.send('GET', '/admin/replication/failed')
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text).failed).toHaveLength(1)
    expect(JSON.parse(answer.text).failed[0]).toMatchObject({ seq: 7, key: null, attempts: 3 })
  })

  it.each([
    ['{"failed":true}', { what: 'failed', remote: undefined, dryRun: false }],
    ['{"from":12,"dry_run":true}', { what: { from: 12 }, remote: undefined, dryRun: true }],
    ['{"all":true,"remote":"default"}', { what: { from: 0 }, remote: 'default', dryRun: false }],
    ['{"failed":false,"from":3}', { what: { from: 3 }, remote: undefined, dryRun: false }],
  ])('replays %s', async (body, order) => {
    await start()
    const answer = await bench.send('POST', '/admin/replication/replay', { body })
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual({ count: 2, bytes: 20 })
    expect(bench.replays).toEqual([order])
  })

  it.each([
    '{}',
    '{"dry_run":true}',
    '{"failed":true,"all":true}',
    '{"failed":true,"from":0}',
    '{"from":-1}',
    '{"from":1.5}',
    '{"from":"1"}',
    '{"all":"true"}',
    '{"all":true,"dryRun":true}',
    '{"all":true,"remote":""}',
    '[]',
    'null',
    '{"all":true',
    '',
  ])('refuses to replay %j', async (body) => {
    await start()
    const answer = await bench.send('POST', '/admin/replication/replay', { body })
    expect(answer.status).toBe(400)
    const { error } = JSON.parse(answer.text)
    expect(error.code).toBe('INVALID_REQUEST')
    expect(error.message).not.toBe('')
    expect(bench.replays).toEqual([])
  })

  it('answers 404 for a remote that does not exist', async () => {
    await start()
    const body = '{"all":true,"remote":"nobody"}'
    const answer = await bench.send('POST', '/admin/replication/replay', { body })
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.text).error.code).toBe('NO_SUCH_REMOTE')
  })

  it('answers 415 for a body that is not declared as JSON, and 413 for a large one', async () => {
    await start()
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    const posted = { headers: form, body: '{"all":true}' }
    expect((await bench.send('POST', '/admin/replication/replay', posted)).status).toBe(415)
    const plain = { headers: { 'content-type': 'text/plain' }, body: '{"all":true}' }
    expect((await bench.send('POST', '/admin/replication/replay', plain)).status).toBe(415)
    const large = { body: `{"all":true,"remote":"${'x'.repeat(20_000)}"}` }
    expect((await bench.send('POST', '/admin/replication/replay', large)).status).toBe(413)
    expect(bench.replays).toEqual([])
  })

  it('takes a body that waits for 100 Continue', async () => {
    await start()
    const answer = await new Promise<number>((resolve, reject) => {
      const request = httpRequest({
        port: bench.port,
        method: 'POST',
        path: '/admin/replication/replay',
        headers: {
          expect: '100-continue',
          'content-type': 'application/json',
          'content-length': '12',
        },
      })
      request.on('continue', () => request.end('{"all":true}'))
      request.on('response', (response) => resolve(response.resume().statusCode ?? 0))
      request.on('error', reject)
      request.flushHeaders()
    })
    expect(answer).toBe(200)
  })
})

describe('everything else', () => {
  it.each([
    ['GET', '/admin'],
    ['GET', '/admin/'],
    ['GET', '/admin/nothing'],
    ['DELETE', '/admin/docs'],
    ['DELETE', '/admin/docs/objects/key'],
    ['GET', '/admin/replication'],
  ])('answers 404 to %s %s', async (method, path) => {
    await start()
    const answer = await bench.send(method, path)
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.text).error.code).toBe('NO_SUCH_ENDPOINT')
  })

  it.each([
    ['POST', '/admin/health', 'GET, HEAD'],
    ['OPTIONS', '/admin/health', 'GET, HEAD'],
    ['GET', '/admin/docs/objects', 'DELETE'],
    ['PUT', '/admin/replication/replay', 'POST'],
    ['DELETE', '/admin/metrics', 'GET, HEAD'],
  ])('answers 405 to %s %s and names the methods', async (method, path, allow) => {
    await start()
    const answer = await bench.send(method, path)
    expect(answer.status).toBe(405)
    expect(answer.headers.allow).toBe(allow)
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    expect(JSON.parse(answer.text).error.code).toBe('METHOD_NOT_ALLOWED')
  })

  it('names every answer, errors included, differently', async () => {
    await start()
    const ids = new Set<unknown>()
    for (const path of ['/admin/health', '/admin/health', '/admin/nothing']) {
      ids.add((await bench.send('GET', path)).headers['x-request-id'])
    }
    expect([...ids].every((id) => /^[0-9a-f]{16}$/.test(String(id)))).toBe(true)
    expect(ids.size).toBe(3)
  })

  it('answers 400 to a path that does not decode', async () => {
    await start()
    const answer = await bench.send('DELETE', '/admin/%zz/objects')
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text).error.code).toBe('INVALID_REQUEST')
  })

  it('tells nobody what failed inside, and logs it', async () => {
    const logged: unknown[] = []
    await start({
      metrics: async () => {
        throw new Error('a detail of the inside')
      },
      logger: { ...silentLogger, error: (fields) => logged.push(fields) },
    })
    const answer = await bench.send('GET', '/admin/metrics')
    expect(answer.status).toBe(500)
    expect(answer.text).not.toContain('detail')
    expect(JSON.parse(answer.text).error.code).toBe('INTERNAL_ERROR')
    expect(logged).toMatchObject([
      { operation: 'AdminMetrics', request_id: answer.headers['x-request-id'] },
    ])
  })

  it('asks for the access of each endpoint, before it looks at anything else', async () => {
    const asked: string[] = []
    await start({
      authorize: (_request, access) => {
        asked.push(access)
        return access === 'open'
          ? undefined
          : { status: 401, code: 'UNAUTHENTICATED', message: 'who?', hint: 'Say who.' }
      },
    })
    await bench.send('GET', '/admin/health')
    for (const [method, path] of [
      ['GET', '/admin/metrics'],
      ['GET', '/admin/replication/status'],
      ['GET', '/admin/replication/failed'],
      ['GET', '/admin/nothing'],
      ['DELETE', '/admin/health'],
      ['DELETE', '/admin/docs/objects?confirm=true'],
      ['POST', '/admin/replication/replay'],
    ] as const) {
      const answer = await bench.send(method, path, method === 'POST' ? { body: 'x' } : {})
      expect([path, answer.status]).toEqual([path, 401])
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="comio"')
      expect(JSON.parse(answer.text).error).toEqual({
        code: 'UNAUTHENTICATED',
        message: 'who?',
        hint: 'Say who.',
      })
    }
    expect(asked).toEqual(['open', 'read', 'read', 'read', 'read', 'read', 'admin', 'admin'])
    expect(bench.purged).toEqual([])
  })

  it('observes every answer once, under a name of bounded variety', async () => {
    await start()
    await bench.send('GET', '/admin/health')
    await bench.send('GET', '/admin/random-1')
    await bench.send('DELETE', '/admin/nowhere/objects')
    expect(bench.observations.map(({ operation, status }) => [operation, status])).toEqual([
      ['AdminHealth', 200],
      ['AdminOther', 404],
      ['AdminPurge', 404],
    ])
    expect(bench.observations.every(({ durationMs }) => durationMs >= 0)).toBe(true)
  })
})
