import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ProgressGuard } from '../../src/server/listener/progress-guard.ts'

let server: Server
let guard: ProgressGuard
let cuts = 0
let handle: (request: IncomingMessage, response: ServerResponse) => void

beforeEach(async () => {
  cuts = 0
  // The tests look by themselves; the timer never comes to it.
  guard = new ProgressGuard({ intervalMs: 1e9, strikesMax: 3, bytesMin: 10 }, () => cuts++)
  server = createServer()
  server.on('connection', (socket: Socket) => guard.watch(socket))
  server.on('request', (request, response) => {
    guard.begin(request, response)
    handle(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(async () => {
  guard.close()
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

function dial(text: string): Socket {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(text)
  return socket
}

const upload = (path: string): string =>
  `PUT ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 400\r\n\r\n`

describe('the progress guard', () => {
  it('cuts off an upload that starves, but not one that moves', async () => {
    const requests = new Map<string, IncomingMessage>()
    handle = (request, response) => {
      requests.set(request.url ?? '', request)
      request.on('error', () => undefined)
      request.on('end', () => response.end('whole'))
      request.on('data', () => undefined)
      server.emit('received')
    }
    const starving = dial(upload('/starving'))
    await once(server, 'received')
    const moving = dial(upload('/moving'))
    await once(server, 'received')
    const starved = once(starving, 'close')
    for (let sent = 0; sent < 380; sent += 20) {
      const seen = once(requests.get('/moving') as IncomingMessage, 'data')
      moving.write('x'.repeat(20))
      await seen
      guard.look()
    }
    await starved
    expect(cuts).toBe(1)
    expect(requests.get('/moving')?.destroyed).toBe(false)
    moving.write('x'.repeat(20))
    const [answer] = await once(moving, 'data')
    expect(String(answer)).toContain('whole')
  })

  it('cuts off a download that nobody takes', async () => {
    handle = (_request, response) => response.end(Buffer.alloc(64 * 2 ** 20))
    const client = dial('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(server, 'request')
    for (let looks = 0; looks < 100_000 && cuts === 0; looks++) {
      await setImmediate()
      guard.look()
    }
    expect(cuts).toBe(1)
    client.destroy()
  })

  it('never holds the time that the site itself takes against the client', async () => {
    let answer: ServerResponse | undefined
    handle = (request, response) => {
      request.resume()
      answer = response
    }
    const client = dial('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await once(server, 'request')
    for (let looks = 0; looks < 10; looks++) guard.look()
    expect(cuts).toBe(0)
    answer?.end('done')
    const [text] = await once(client, 'data')
    expect(String(text)).toContain('done')
  })

  it('leaves an upload alone that the site does not read', async () => {
    let upstream: IncomingMessage | undefined
    handle = (request) => {
      upstream = request
    }
    const client = dial(upload('/waiting'))
    await once(server, 'request')
    client.write('x'.repeat(50))
    for (let looks = 0; looks < 10; looks++) guard.look()
    expect(cuts).toBe(0)
    expect(upstream?.destroyed).toBe(false)
    client.destroy()
  })

  it('knows the answers that are not finished', async () => {
    handle = (request, response) => {
      if (request.url === '/open') response.write('begun')
      else response.end('done')
    }
    const done = dial('GET /done HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(done, 'data')
    const open = dial('GET /open HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(open, 'data')
    const unfinished = [...guard.unfinished()]
    expect(unfinished.map((response) => response.req.url)).toEqual(['/open'])
    done.destroy()
    open.destroy()
  })
})
