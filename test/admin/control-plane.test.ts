import { request as httpRequest } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { type BenchChanges, ControlBench, statusDocument } from './control-bench.ts'

let bench: ControlBench

async function start(changes: BenchChanges = {}): Promise<ControlBench> {
  bench = await new ControlBench().start(changes)
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

  it.each([
    ['DELETE', '/admin/Docs/objects', undefined, /^bucket must be a bucket name of 3 to 63 /],
    ['GET', '/admin/replication/failed/0', undefined, /^seq must be a place in the feed, a whole /],
    [
      'POST',
      '/admin/replication/remotes/B!/pause',
      undefined,
      /^remote must be the name of a remote/,
    ],
    ['POST', '/admin/tokens/revoke', '{"name":""}', /^name must be a name of 1 to 64 letters$/],
    ['POST', '/admin/tokens/revoke', '{}', /required property 'name'/],
  ] as const)('says of %s %s %j what it must be', async (method, path, body, words) => {
    await start()
    const answer = await bench.send(method, path, body === undefined ? {} : { body })
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text).error.message).toMatch(words)
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
    [
      '{"bucket":"docs","prefix":"a/"}',
      { what: { bucket: 'docs', prefix: 'a/' }, remote: undefined, dryRun: false },
    ],
    ['{"since":"2h"}', { what: { since: { agoMs: 7_200_000 } }, remote: undefined, dryRun: false }],
    [
      '{"since":"2025-12-03T21:00:00Z"}',
      { what: { since: { at: Date.UTC(2025, 11, 3, 21) } }, remote: undefined, dryRun: false },
    ],
    ['{"failed":false,"from":3}', { what: { from: 3 }, remote: undefined, dryRun: false }],
  ])('replays %s', async (body, order) => {
    await start()
    const answer = await bench.send('POST', '/admin/replication/replay', { body })
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual({ count: 2, bytes: 20, through: 40 })
    expect(bench.replays).toEqual([order])
  })

  it.each([
    '{}',
    '{"dry_run":true}',
    '{"failed":true,"all":true}',
    '{"failed":true,"from":0}',
    '{"from":-1}',
    '{"since":"yesterday"}',
    '{"since":"2025-13-03"}',
    '{"prefix":"a/"}',
    '{"bucket":"docs","since":"2h"}',
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

  it('shows one dead letter', async () => {
    await start()
    const answer = await bench.send('GET', '/admin/replication/failed/7?remote=b')
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text).failed).toMatchObject([
      {
        ...{ seq: 7, remote: 'b', version_site: 'site-a' },
        current: { etag: 'e', content_type: null },
        there: { state: 'unknown', reason: 'no answer' },
      },
    ])
    const missing = await bench.send('GET', '/admin/replication/failed/8')
    expect(missing.status).toBe(404)
    expect(JSON.parse(missing.text).error.code).toBe('NO_SUCH_DEAD_LETTER')
    expect((await bench.send('GET', '/admin/replication/failed/0')).status).toBe(400)
    expect((await bench.send('GET', '/admin/replication/failed/x')).status).toBe(400)
  })

  it('retries and discards the dead letters that are named, or all', async () => {
    await start()
    const some = { body: '{"seqs":[7,9],"remote":"b"}' }
    expect((await bench.send('POST', '/admin/replication/failed/retry', some)).status).toBe(200)
    const all = { body: '{"all":true}' }
    const answer = await bench.send('POST', '/admin/replication/failed/discard', all)
    expect(JSON.parse(answer.text)).toEqual({ count: 1, bytes: 5 })
    expect(bench.retried).toEqual([{ seqs: [7, 9], remote: 'b' }])
    expect(bench.discarded).toEqual([{ seqs: 'all', remote: undefined }])
  })

  it.each([
    '{}',
    '{"seqs":[]}',
    '{"seqs":[0]}',
    '{"seqs":[1],"all":true}',
    '{"all":false}',
    JSON.stringify({ seqs: Array.from({ length: 1001 }, (_, i) => i + 1) }),
  ])('discards nothing for %j', async (body) => {
    await start()
    const answer = await bench.send('POST', '/admin/replication/failed/discard', { body })
    expect(answer.status).toBe(400)
    expect(bench.discarded).toEqual([])
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
    const large = { body: `{"all":true,"remote":"${'x'.repeat(60_000)}"}` }
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
