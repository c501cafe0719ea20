/** A site with two threads that take connections: it answers as one with a single thread does. */
import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { AccessControl } from '../../src/server/credentials/access.ts'
import { Listener } from '../../src/server/listener/listener.ts'
import { EngineSocket } from '../../src/server/threads/engine-socket.ts'
import { HttpThreads, type HttpThreadsOptions } from '../../src/server/threads/http-threads.ts'
import { NotYet, until } from '../e2e/until.ts'
import {
  type Connections,
  connectRaw,
  connectTo,
  type KeptConnection,
  whoAnswered,
} from './kept-connection.ts'
import { parseMetrics } from './parse-metrics.ts'
import { type Answer, type ConfigChanges, TestSite, testConfig } from './test-site.ts'

let site: TestSite
let connections: Connections
let engine: KeptConnection
let thread: KeptConnection

const jsonType = { 'content-type': 'application/json' }

async function start(
  changes: ConfigChanges = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  await site.start({ ...changes, server: { threads: 2, ...changes.server } })
  connections = await connectTo(site, { bucket: 'first', key: 'k', headers })
  ;({ engine, thread } = connections)
}

/** Again, with what is stored. */
async function startAnew(server: NonNullable<ConfigChanges['server']>): Promise<void> {
  connections.close()
  await site.stop()
  await start({ server })
}

beforeEach(async () => {
  site = await TestSite.make()
})
afterEach(async () => {
  connections.close()
  await site.remove()
})

describe('a thread', () => {
  test('answers reads and small uploads of its connections itself', async () => {
    await start()
    const put = await thread.send('PUT', '/docs/k', { body: 'from a thread' })
    expect(put.status).toBe(200)
    const own = whoAnswered(put)
    expect(whoAnswered(await engine.send('GET', '/docs/k'))).not.toBe(own)
    // What was slow to read just then is passed on for a moment.
    await until('the thread reads itself', async () => {
      const got = await thread.send('GET', '/docs/k')
      expect([got.status, got.body.toString()]).toEqual([200, 'from a thread'])
      const head = await thread.send('HEAD', '/docs/k')
      expect([head.status, head.headers.etag]).toEqual([200, put.headers.etag])
      return [got, head].every((one) => whoAnswered(one) === own) ? true : new NotYet('passed on')
    })
  })

  test('sees what any other has stored as soon as that is answered, and the other way round', async () => {
    await start()
    for (let round = 0; round < 50; round++) {
      const [writer, reader] = round % 2 === 0 ? [engine, thread] : [thread, engine]
      await writer.send('PUT', '/docs/k', { body: `round ${round}` })
      expect((await reader.send('GET', '/docs/k')).body.toString()).toBe(`round ${round}`)
      await writer.send('DELETE', '/docs/k')
      expect((await reader.send('GET', '/docs/k')).status).toBe(404)
    }
  })

  test('shows nothing of what was purged once the purge is answered', async () => {
    await start()
    for (let round = 0; round < 20; round++) {
      await thread.send('PUT', '/docs/k', { body: 'x' })
      expect((await thread.send('GET', '/docs/k')).status).toBe(200)
      await engine.send('DELETE', '/admin/docs/objects?confirm=true')
      expect((await thread.send('GET', '/docs/k')).status).toBe(404)
    }
  })

  test('passes on whole what it cannot answer: large bodies, listings, the control plane', async () => {
    await start()
    const large = Buffer.alloc(3 * 2 ** 20, 'comio')
    expect((await thread.send('PUT', '/docs/large', { body: large })).status).toBe(200)
    expect((await thread.send('GET', '/docs/large')).body.equals(large)).toBe(true)
    const asked = { headers: { expect: '100-continue' }, body: large }
    expect((await thread.send('PUT', '/docs/asked', asked)).status).toBe(200)
    const part = await thread.send('GET', '/docs/asked', { headers: { range: 'bytes=100-199' } })
    expect([part.status, part.body]).toEqual([206, large.subarray(100, 200)])
    const list = (await thread.send('GET', '/docs?list-type=2')).body.toString()
    expect(list).toContain('<KeyCount>2</KeyCount>')
    const health = JSON.parse((await thread.send('GET', '/admin/health')).body.toString())
    expect(health).toMatchObject({ status: 'ok' })
  })

  test('answers reads of whole objects up to 1 MiB itself, and passes on parts of them', async () => {
    await start()
    const engineId = whoAnswered(await engine.send('GET', '/docs?list-type=2'))
    for (const size of [70_000, 300_000, 2 ** 20]) {
      const path = `/docs/${size}`
      const body = Buffer.alloc(size, `comio ${size}`)
      const { headers } = await engine.send('PUT', path, { body })
      // Until the thread knows where its segments lie.
      await thread.send('GET', path)
      const got = await until('the thread answers itself', async () => {
        const answer = await thread.send('GET', path)
        return whoAnswered(answer) === engineId ? new NotYet('') : answer
      })
      expect([got.status, got.headers.etag, got.body.equals(body)]).toEqual([
        ...[200, headers.etag, true],
      ])
      const part = await thread.send('GET', path, { headers: { range: 'bytes=5-9' } })
      expect([part.status, part.body]).toEqual([206, body.subarray(5, 10)])
      expect(whoAnswered(part)).toBe(engineId)
    }
    const body = Buffer.alloc(2 ** 20 + 1, 'larger')
    await engine.send('PUT', '/docs/larger', { body })
    for (let look = 0; look < 3; look++) {
      const got = await thread.send('GET', '/docs/larger')
      expect([got.body.equals(body), whoAnswered(got)]).toEqual([true, engineId])
    }
  })

  test('leaves damaged bytes to the engine, which says what is wrong', async () => {
    await start()
    const path = '/docs/large'
    await engine.send('PUT', path, { body: Buffer.alloc(200_000, 'healthy') })
    expect((await thread.send('GET', path)).status).toBe(200)
    const folder = join(site.storage, 'segments')
    for (const name of await readdir(folder)) {
      const bytes = await readFile(join(folder, name))
      const at = bytes.indexOf('healthyhealthy')
      if (at >= 0) await writeFile(join(folder, name), bytes.fill('!', at, at + 3))
    }
    const told = withoutIds(await engine.send('GET', path))
    expect(told.status).toBe(500)
    for (let look = 0; look < 3; look++) {
      const answer = withoutIds(await thread.send('GET', path))
      expect(answer).toEqual(told)
    }
  })

  test('is counted in the metrics of the site, and so is what it answered', async () => {
    await start()
    const count = async (): Promise<number> => {
      const text = (await engine.send('GET', '/admin/metrics')).body.toString()
      const name = 'comio_http_requests_total{operation="HeadObject",status="200"}'
      return parseMetrics(text).get(name) ?? 0
    }
    for (const connection of [engine, thread, thread]) await connection.send('HEAD', '/first/k')
    expect(await count()).toBe(3)
    await thread.send('HEAD', '/first/k')
    expect(await count()).toBe(4)
  })

  test('keeps no file open of a segment that is gone', async () => {
    await start()
    const body = Buffer.alloc(16 * 2 ** 10, 'x')
    for (let at = 0; at < 1500; at++) {
      await thread.send('PUT', `/docs/${at}`, { body })
      if (at % 10 === 0) await thread.send('GET', `/docs/${at}`)
    }
    await engine.send('DELETE', '/admin/docs/objects?confirm=true')
    await until('the space is given back', async () => {
      const lost = (await openFiles()).filter(
        (file) => file.startsWith(site.storage) && file.endsWith('(deleted)'),
      )
      const segments = await readdir(join(site.storage, 'segments'))
      return lost.length === 0 && segments.length < 8 ? true : new NotYet([lost, segments])
    })
    expect((await thread.send('GET', '/first/k')).status).toBe(200)
  })
})

describe('what a thread passes on', () => {
  const host = 'Host: 127.0.0.1\r\n'
  const list = '/first?list-type=2'

  async function answerTo(asked: string, end: RegExp): Promise<string> {
    await start()
    const raw = await connectRaw(site, '/first/k')
    try {
      return await raw.ask(asked, end)
    } finally {
      raw.close()
    }
  }

  test('may announce trailers, which nobody wants', async () => {
    const asked = `GET ${list} HTTP/1.1\r\n${host}Trailer: x-sum\r\n\r\n`
    expect(await answerTo(asked, /<\/ListBucketResult>/)).toMatch(/^HTTP\/1.1 200/)
  })

  test('may have as many bytes of headers as what it answers itself', async () => {
    const asked = `GET ${list} HTTP/1.1\r\n${host}x-long: ${'l'.repeat(32_690)}\r\n\r\n`
    expect(await answerTo(asked, /<\/ListBucketResult>|^HTTP\S+ [45]/)).toMatch(/^HTTP\/1.1 200/)
  })

  test('may have as many headers as what it answers itself, and a body', async () => {
    const many = Array.from({ length: 997 }, (_, at) => `h${at}: 1\r\n`).join('')
    const head = `PUT /first/large HTTP/1.1\r\n${host}Content-Length: 70000\r\n${many}\r\n`
    expect(await answerTo(head + 'x'.repeat(70_000), /^HTTP.*/)).toBe('HTTP/1.1 200 OK')
  })

  test('may be HTTP/1.0: without a host, and never told to go on', async () => {
    const asked = `GET ${list} HTTP/1.0\r\n\r\n`
    // Who names no host is refused here, but by the engine, with a reason.
    expect(await answerTo(asked, /<\/Error>|^HTTP\S+ 400/)).toContain(
      'only requests to a loopback host',
    )
    const raw = await connectRaw(site, '/first/k')
    const put = `PUT /first/old HTTP/1.0\r\n${host}Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx`
    expect(await raw.ask(put, /^HTTP.*/)).toBe('HTTP/1.1 200 OK')
    raw.close()
  })
})

async function openFiles(): Promise<readonly string[]> {
  const names = await readdir('/proc/self/fd')
  // One may be closed by now.
  return Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')))
}

describe('any thread', () => {
  const reader = { name: 'reader', role: 'read', token: 'token-of-reader' } as const
  const keeper = { name: 'keeper', role: 'admin', token: 'token-of-keeper' } as const
  const as = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` })

  test('refuses a token as soon as its revocation is answered, and tells when one was used', async () => {
    await start({ auth: { tokens: [reader, keeper] } }, as(keeper))
    const asked = { headers: as(reader) }
    expect((await thread.send('GET', '/first/k', asked)).status).toBe(200)
    expect((await thread.send('GET', '/first/k')).status).toBe(401)
    expect((await thread.send('PUT', '/first/k', { ...asked, body: 'y' })).status).toBe(403)
    await engine.send('GET', '/admin/metrics', { headers: as(keeper) })
    const { tokens } = await site.json('GET', '/admin/tokens', { headers: as(keeper) })
    expect(tokens[0]).toMatchObject({ name: 'reader', last_used: expect.any(String) })
    const order = { headers: { ...as(keeper), ...jsonType }, body: '{"name":"reader"}' }
    expect((await engine.send('POST', '/admin/tokens/revoke', order)).status).toBe(200)
    const refused = await thread.send('GET', '/first/k', asked)
    expect([refused.status, refused.body.toString()]).toEqual([
      401,
      expect.stringContaining('the token reader was revoked'),
    ])
  })

  test('takes the tokens of a configuration that was read again', async () => {
    const auth = { tokens: [keeper] }
    const next = { tokens: [keeper, reader] }
    const changes: ConfigChanges = { server: { threads: 2 }, auth }
    await site.start(changes, {
      load: async () => testConfig(site.storage, { ...changes, auth: next }),
    })
    connections = await connectTo(site, { bucket: 'first', key: 'k', headers: as(keeper) })
    ;({ thread } = connections)
    const asked = { headers: as(reader) }
    expect((await thread.send('GET', '/first/k', asked)).status).toBe(401)
    await site.server.reload()
    expect((await thread.send('GET', '/first/k', asked)).status).toBe(200)
  })

  test('refuses writes where clients may not write, and names the primary', async () => {
    await start()
    await site.json('POST', '/admin/replication/role', {
      headers: jsonType,
      body: '{"role":"replica","force":true}',
    })
    const wrongSum = { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }
    for (const headers of [{}, wrongSum, { 'if-none-match': '*' }]) {
      const answers = []
      for (const connection of [engine, thread]) {
        answers.push(withoutIds(await connection.send('PUT', '/first/k', { headers, body: 'y' })))
      }
      expect(answers[1]).toEqual(answers[0])
      expect(answers[1]).toMatchObject({ status: 403 })
    }
    expect((await thread.send('GET', '/first/k')).body.toString()).toBe('x')
  })

  test('refuses what does not fit with the same words', async () => {
    await start({ server: { storageSize: 16 * 2 ** 20 } })
    const body = Buffer.alloc(60 * 2 ** 10, 'x')
    let answer = await thread.send('PUT', '/docs/0', { body })
    for (let at = 1; answer.status === 200; at++) {
      answer = await thread.send('PUT', `/docs/${at}`, { body })
    }
    const other = await engine.send('PUT', '/docs/other', { body })
    expect(withoutIds(answer).body.replaceAll(/docs\/\w+/g, '')).toBe(
      withoutIds(other).body.replaceAll(/docs\/\w+/g, ''),
    )
    expect(answer.status).toBe(507)
  })
})

describe('two sites', () => {
  test('never share a port: the second one is told that it is taken', async () => {
    await start()
    const port = Number(new URL(site.url).port)
    const second = await TestSite.make()
    try {
      await expect(second.start({ server: { threads: 2, port } })).rejects.toMatchObject({
        code: 'ADDRESS_IN_USE',
      })
      await expect(second.start({ server: { threads: 1, port } })).rejects.toMatchObject({
        code: 'ADDRESS_IN_USE',
      })
    } finally {
      await second.remove()
    }
  })
})

test('of two sites that begin in the same moment on one port, one gets it and the other is told', async () => {
  await start()
  const port = Number(new URL(site.url).port)
  await site.stop()
  const opening: Promise<Listener | unknown>[] = []
  for (let i = 0; i < 12; i++) {
    const address = { host: '127.0.0.1', port, shared: 'first' } as const
    opening.push(Listener.open({ address, logger: silentLogger }).catch((error: unknown) => error))
    await new Promise((resolve) =>
      i % 3 === 0 ? setImmediate(resolve) : process.nextTick(resolve),
    )
  }
  const opened = await Promise.all(opening)
  const listeners = opened.filter((one) => one instanceof Listener)
  for (const one of listeners) await one.close(0)
  expect(listeners).toHaveLength(1)
  for (const one of opened.filter((each) => each !== listeners[0])) {
    expect(one).toMatchObject({ code: 'ADDRESS_IN_USE' })
  }
})

interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const bodies = ['', 'a', 'body', 'x'.repeat(5000), 'y'.repeat(40_000), 'z'.repeat(70_000)]
const anyRequest: fc.Arbitrary<Asked> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'HEAD', 'PUT', 'PUT', 'DELETE', 'POST'),
  path: fc.constantFrom(
    ...['/docs/a', '/docs/b', '/docs/c%20d', '/docs/%ff', '/docs', '/docs?list-type=2', '/'],
    ...['/docs/a?response-content-type=text/x', '/other/a', '/UPPER/a', '/docs/a?tagging'],
  ),
  headers: fc.constantFrom<Readonly<Record<string, string>>>(
    ...[{}, {}, {}, { range: 'bytes=1-2' }, { range: 'bytes=9999999-' }, { 'if-match': '"0"' }],
    ...[{ 'if-none-match': '*' }, { 'x-amz-meta-name': 'value' }, { 'content-type': 'a/b' }],
    ...[{ 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }, { expect: '100-continue' }],
    ...[{ 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' }, { 'if-match': '*' }],
  ),
  body: fc.constantFrom(...bodies),
})

test.each([true, false])(
  'whatever is asked, a thread answers as the engine does (buckets made by themselves: %s)',
  async (autoCreateBuckets) => {
    await start({ server: { autoCreateBuckets: true } })
    if (!autoCreateBuckets) await startAnew({ autoCreateBuckets })
    const clear = async (): Promise<void> => {
      for (const bucket of ['docs', 'other']) {
        await engine.send('PUT', `/${bucket}`)
        await engine.send('DELETE', `/admin/${bucket}/objects?confirm=true`)
      }
    }
    const answersOf = async (
      connection: KeptConnection,
      asked: readonly Asked[],
    ): Promise<readonly unknown[]> => {
      await clear()
      const answers: unknown[] = []
      for (const { method, path, headers, body } of asked) {
        const sent = method === 'PUT' || method === 'POST' ? { headers, body } : { headers }
        answers.push(withoutIds(await connection.send(method, path, sent)))
      }
      return answers
    }
    const property = fc.asyncProperty(fc.array(anyRequest, { maxLength: 25 }), async (asked) => {
      expect(await answersOf(thread, asked)).toEqual(await answersOf(engine, asked))
    })
    await fc.assert(property, { numRuns: 40, seed: 4 })
  },
)

/** Without what differs from one answer to the next. */
function withoutIds({ status, headers, body }: Answer) {
  const { date, 'x-amz-request-id': _, 'last-modified': __, ...others } = headers
  const text = body
    .toString('latin1')
    .replaceAll(/<(RequestId|LastModified|CreationDate)>[^<]*/g, '<$1>')
  return { status, headers: others, body: text }
}

test.each([
  ['is not there', '/nowhere', /no folder can be made in \/nowhere/],
  ['has a long path', join(tmpdir(), 'x'.repeat(100)), /path of a socket is too long/],
])('a folder for temporary files that %s is named, and what to do', async (_, folder, message) => {
  await start()
  if (folder.startsWith(tmpdir())) await mkdir(folder, { recursive: true })
  vi.stubEnv('TMPDIR', folder)
  const failed = EngineSocket.open('0'.repeat(32), silentLogger)
  vi.unstubAllEnvs()
  await expect(failed).rejects.toMatchObject({
    ...{ code: 'LISTEN_FAILED', message: expect.stringMatching(message) },
    hint: expect.stringContaining('TMPDIR'),
  })
  await rm(folder, { recursive: true, force: true })
})

test('the folder of a socket that a killed process left is removed by the next start of its site alone', async () => {
  await start()
  const folder = join(tmpdir(), `comio-sockets-${process.pid}`)
  await mkdir(folder)
  vi.stubEnv('TMPDIR', folder)
  try {
    const [own, other] = ['a'.repeat(32), 'b'.repeat(32)]
    // Neither is closed before the next one of its volume is opened, as after a kill.
    const killed = await EngineSocket.open(own, silentLogger)
    const elsewhere = await EngineSocket.open(other, silentLogger)
    const next = await EngineSocket.open(own, silentLogger)
    await expect(stat(killed.path)).rejects.toThrow('ENOENT')
    expect((await readdir(folder)).length).toBe(2)
    for (const socket of [killed, elsewhere, next]) await socket.close()
    expect(await readdir(folder)).toEqual([])
  } finally {
    vi.unstubAllEnvs()
    await rm(folder, { recursive: true, force: true })
  }
})

test('a thread that cannot begin keeps the site from starting, and says why', async () => {
  await start()
  const broken = join(tmpdir(), `comio-broken-thread-${process.pid}.mjs`)
  await writeFile(broken, 'throw new Error("no such luck")\n')
  const threads = new HttpThreads()
  const starting = threads.start({
    ...{ count: 2, script: pathToFileURL(broken), clock: systemClock, logger: silentLogger },
    access: new AccessControl({
      loopback: true,
      allowAnonymous: false,
      tokens: [],
      acceptTokens: [],
    }),
    revoked: { digests: () => [] },
    volume: { identity: { volumeId: '' } },
  } as unknown as HttpThreadsOptions)
  try {
    await expect(starting).rejects.toMatchObject({
      code: 'HTTP_THREAD_FAILED',
      message: expect.stringContaining('no such luck'),
    })
  } finally {
    await threads.close(0)
    await rm(broken)
  }
})
