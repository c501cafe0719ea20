import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { AddressInUseError, ListenFailedError } from '../../src/server/errors.ts'
import { createDispatcher } from '../../src/server/listener/dispatcher.ts'
import {
  connectionsMaxOf,
  Listener,
  type ListenerLimits,
  type RequestHandler,
} from '../../src/server/listener/listener.ts'

const open: Listener[] = []

async function listen(
  handle?: RequestHandler,
  options: { limits?: Partial<ListenerLimits>; logger?: Logger } = {},
): Promise<Listener> {
  const listener = await Listener.open({
    address: { host: '127.0.0.1', port: 0 },
    logger: silentLogger,
    ...options,
  })
  open.push(listener)
  if (handle !== undefined) listener.serve(handle)
  return listener
}

afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close(0)
})

async function talk(listener: Listener, text: string): Promise<string> {
  const socket = connect(listener.address.port, '127.0.0.1')
  socket.write(text)
  return textUntilClosed(socket)
}

async function textUntilClosed(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => undefined)
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

const ok: RequestHandler = (request, response) => {
  request.resume()
  response.end('ok')
}

describe('the listener', () => {
  it('takes its share of the connections that all threads of a site may take, and no more', async () => {
    const all = connectionsMaxOf(1)
    expect(connectionsMaxOf(4)).toBe(all / 4)
    const listener = await listen(ok, { limits: { connectionsMax: connectionsMaxOf(all / 2) } })
    const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    const kept = [1, 2].map(() => connect(listener.address.port, '127.0.0.1'))
    for (const socket of kept) {
      socket.write(get)
      await once(socket, 'data')
    }
    expect(await talk(listener, get)).toBe('')
    for (const socket of kept) socket.destroy()
  })

  it('reports the port that it really has', async () => {
    const listener = await listen(ok)
    expect(listener.address.port).toBeGreaterThan(0)
    expect(await talk(listener, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 200 OK\r\n/,
    )
  })

  it('names the port that is in use', async () => {
    const { port } = (await listen(ok)).address
    const second = Listener.open({
      address: { host: '127.0.0.1', port },
      logger: silentLogger,
    })
    await expect(second).rejects.toThrow(AddressInUseError)
    await expect(second).rejects.toMatchObject({
      message: expect.stringContaining(String(port)),
      hint: expect.stringContaining('--port'),
    })
  })

  it('names a host that is none of this machine', async () => {
    const opening = Listener.open({
      address: { host: '192.0.2.1', port: 0 },
      logger: silentLogger,
    })
    await expect(opening).rejects.toThrow(ListenFailedError)
    await expect(opening).rejects.toMatchObject({ hint: expect.stringContaining('--host') })
  })

  it('answers 503 before it is told who answers', async () => {
    const listener = await listen()
    const answer = await talk(listener, 'GET /admin/health HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 503 /)
    expect(answer.toLowerCase()).toContain('retry-after: 1\r\n')
    expect(answer).toContain('the site is starting')
  })

  it.each([
    ['what is no HTTP', 'nonsense\r\n\r\n', 400],
    [
      'two lengths',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
    ],
    [
      'a length and a transfer encoding',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['headers beyond 32 KiB', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ])('refuses %s', async (_name, text, status) => {
    const listener = await listen(ok)
    const answer = await talk(listener, text)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(answer.toLowerCase()).toContain('connection: close')
  })

  it('lets go of who never finishes the head of a request', async () => {
    const listener = await listen(ok, { limits: { headersTimeoutMs: 100 } })
    expect(await talk(listener, 'GET / HTTP/1.1\r\nHost:')).toMatch(/^HTTP\/1\.1 408 /)
    expect(await talk(listener, '')).toMatch(/^(HTTP\/1\.1 408 .*)?/)
  })
})

describe('a malformed request behind a good one', () => {
  it.each([
    ['what is no HTTP', 'nonsense\r\n\r\n'],
    [
      'a body in bad chunks',
      'PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ],
  ])('waits for the answers that are owed, then the connection ends: %s', async (_name, bad) => {
    const answers: ServerResponse[] = []
    let arrived: () => void = () => undefined
    const waiting = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const listener = await listen((request, response) => {
      if (request.url === '/2') return
      if (request.url === '/other') return void ok(request, response)
      answers.push(response)
      if (answers.length === 2) arrived()
    })
    const socket = connect(listener.address.port, '127.0.0.1')
    const text = textUntilClosed(socket)
    socket.write(`GET /0 HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n${bad}`)
    await waiting
    // Again while the answers are outstanding: it changes nothing.
    await new Promise((resolve) => socket.write('more nonsense\r\n', resolve))
    await talk(listener, 'GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    answers[0]?.end('first')
    answers[1]?.end('x'.repeat(1_000_000))
    const received = await text
    expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200'])
    expect(received).toContain('first')
    expect(received.endsWith('x'.repeat(1000))).toBe(true)
    expect(received.length).toBeGreaterThan(1_000_000)
  })

  it('is refused by name once the one before it was answered', async () => {
    const listener = await listen(ok)
    const socket = connect(listener.address.port, '127.0.0.1')
    const text = textUntilClosed(socket)
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(socket, 'data')
    socket.write('nonsense\r\n\r\n')
    expect((await text).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400'])
  })

  it('cuts an answer off that has begun before its request was whole', async () => {
    const listener = await listen((_request, response) => {
      response.write('begun')
    })
    const socket = connect(listener.address.port, '127.0.0.1')
    const text = textUntilClosed(socket)
    socket.write('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    await once(socket, 'data')
    socket.write('zz\r\n')
    expect((await text).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200'])
  })
})

describe('closing', () => {
  it('finishes the request that is under way, takes no new one, and closes its connection', async () => {
    let answer: ServerResponse | undefined
    let arrived: () => void = () => undefined
    const underWay = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const listener = await listen((_request, response) => {
      answer = response
      arrived()
    })
    const { port } = listener.address
    const agent = new Agent({ keepAlive: true })
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest({ port, agent }, resolve).on('error', reject).end()
    })
    await underWay
    const closed = listener.close(60_000)
    const refused = connect(port, '127.0.0.1')
    const [error] = await once(refused, 'error')
    expect(error.code).toBe('ECONNREFUSED')
    answer?.end('late but whole')
    const response = await answered
    expect(response.headers.connection).toBe('close')
    expect(Buffer.concat(await response.toArray()).toString()).toBe('late but whole')
    await closed
    agent.destroy()
  })

  it('closes idle connections at once', async () => {
    const listener = await listen(ok)
    const agent = new Agent({ keepAlive: true })
    const response = await new Promise<IncomingMessage>((resolve) => {
      httpRequest({ port: listener.address.port, agent }, resolve).end()
    })
    await response.toArray()
    await listener.close(60_000)
    agent.destroy()
  })

  it('closes a connection whose answer had begun as soon as it is complete', async () => {
    let answer: ServerResponse | undefined
    const listener = await listen((_request, response) => {
      answer = response
      response.write('begun ')
    })
    const agent = new Agent({ keepAlive: true })
    const response = await new Promise<IncomingMessage>((resolve) => {
      httpRequest({ port: listener.address.port, agent }, resolve).end()
    })
    const closed = listener.close(60_000)
    answer?.end('and done')
    expect(Buffer.concat(await response.toArray()).toString()).toBe('begun and done')
    await closed
    agent.destroy()
  })

  it('cuts off what is not done in time, and says so', async () => {
    const warnings: unknown[] = []
    const logger = { ...silentLogger, warn: (fields: unknown) => warnings.push(fields) }
    let arrived: () => void = () => undefined
    const underWay = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const listener = await listen(() => arrived(), { logger })
    const socket = connect(listener.address.port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await underWay
    const text = textUntilClosed(socket)
    await listener.close(20)
    expect(await text).toBe('')
    expect(warnings).toEqual([{ requests: 1 }])
  })
})

describe('the dispatcher', () => {
  const planeOf = (url: string, headers: Record<string, string> = {}): string => {
    const seen: string[] = []
    const note = (plane: string) => (request: IncomingMessage) => {
      seen.push(`${plane} ${request.url} ${request.headers.host ?? ''}`.trim())
    }
    const planes = {
      data: note('data'),
      control: note('control'),
      replication: note('replication'),
    }
    createDispatcher(planes)({ url, headers } as IncomingMessage, {} as ServerResponse)
    return seen.join()
  }

  it.each([
    ['/', 'data /'],
    ['/bucket/key', 'data /bucket/key'],
    ['/administrator', 'data /administrator'],
    ['/admin-files/key', 'data /admin-files/key'],
    ['/bucket/admin/health', 'data /bucket/admin/health'],
    ['//admin/health', 'data //admin/health'],
    ['/admin', 'control /admin'],
    ['/admin?x', 'control /admin?x'],
    ['/admin/', 'control /admin/'],
    ['/admin/health', 'control /admin/health'],
    ['/admin/replication/status', 'control /admin/replication/status'],
    ['/admin/replication/batches', 'control /admin/replication/batches'],
    ['/admin/replication/batch', 'replication /admin/replication/batch'],
    ['/admin/replication/batch?x=1', 'replication /admin/replication/batch?x=1'],
    ['/admin/replication/handshake', 'replication /admin/replication/handshake'],
    ['/admin/replication/completions', 'replication /admin/replication/completions'],
    ['/admin/replication/blob/00ff', 'replication /admin/replication/blob/00ff'],
    ['/admin/replication/blob', 'control /admin/replication/blob'],
    ['http://site:1/admin/health', 'control /admin/health site:1'],
    ['http://site:1/b/k?q', 'data /b/k?q site:1'],
    ['http://site:1', 'data / site:1'],
    ['*', 'data *'],
  ])('sends %s to %s', (url, expected) => {
    expect(planeOf(url)).toBe(expected)
  })
})
