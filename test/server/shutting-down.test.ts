import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TestSite, testConfig } from './test-site.ts'

let site: TestSite

beforeEach(async () => {
  site = await TestSite.make()
})

afterEach(() => site.remove())

describe('shutting down', () => {
  it('finishes the upload that is under way, and keeps it', async () => {
    await site.start()
    const socket = connect(Number(new URL(site.url).port), '127.0.0.1')
    socket.write('PUT /docs/late HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\nfirs')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    // An answer on a second connection shows that the first has been read.
    await site.send('GET', '/admin/health')
    const closed = once(socket, 'close')
    const stopped = site.stop()
    socket.write('tpar')
    await closed
    const text = Buffer.concat(chunks).toString()
    expect(text).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(text.toLowerCase()).toContain('connection: close')
    await stopped
    await site.start()
    expect((await site.send('GET', '/docs/late')).body.toString()).toBe('firstpar')
  })

  it('cuts off an upload that does not end in time, and stores nothing of it', async () => {
    await site.start({}, { graceMs: 50 })
    const socket = connect(Number(new URL(site.url).port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write('PUT /docs/half HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\nfirs')
    await site.send('GET', '/admin/health')
    // once() would take a reset for a failure.
    const cut = new Promise((resolve) => socket.once('close', resolve))
    await site.stop()
    await cut
    expect(site.records().some(({ msg }) => msg === 'Requests were cut off at shutdown')).toBe(true)
    await site.start()
    expect((await site.send('GET', '/docs/half')).status).toBe(404)
  })
})

describe('shutting down in the middle of large transfers', () => {
  const large = Buffer.alloc(20 * 2 ** 20, 'large')

  it('ends downloads that nobody takes, and uploads that never end', async () => {
    await site.start({}, { graceMs: 50 })
    expect((await site.send('PUT', '/docs/large', { body: large })).status).toBe(200)
    const port = Number(new URL(site.url).port)
    const sockets = [0, 1, 2, 3].map((number) => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => undefined)
      // Here too.
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
      if (number < 2) {
        socket.write('GET /docs/large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
      } else {
        socket.write(
          `PUT /docs/l HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${2 ** 25}\r\n\r\n`,
        )
        socket.write(large)
      }
      return { socket, closed }
    })
    await Promise.all(sockets.slice(0, 2).map(({ socket }) => once(socket, 'readable')))
    await site.send('GET', '/admin/health')
    await site.stop()
    for (const { socket, closed } of sockets) {
      socket.destroy()
      await closed
    }
    const trouble = site.records().filter(({ level }) => level === 'error')
    expect(trouble).toEqual([])
    await site.start()
    expect((await site.send('GET', '/docs/large')).body.equals(large)).toBe(true)
    expect((await site.send('GET', '/docs/l')).status).toBe(404)
  })
})

it('the test configuration is the default one but for its place', () => {
  const config = testConfig('/nowhere')
  expect(config.server.host).toBe('127.0.0.1')
  expect(config.auth.tokens).toEqual([])
})
