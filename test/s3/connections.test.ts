import { afterEach, describe, expect, it } from 'vitest'
import { ByteBudget } from '../../src/base/byte-budget.ts'
import { systemClock } from '../../src/base/clock.ts'
import { StorageFullError, StoreUnavailableError } from '../../src/store/model/errors.ts'
import type { ObjectStore } from '../../src/store/model/object-store.ts'
import { ManualClock } from './manual-clock.ts'
import { type SiteOptions, startSite, type TestSite } from './start-site.ts'

let site: TestSite
async function start(options?: SiteOptions): Promise<TestSite> {
  site = await startSite(options)
  return site
}
afterEach(() => site.close())

const put = (path: string, headers: string): string =>
  `PUT ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`

/** A promise with its resolver outside. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** The store with some of its methods replaced: the way to make it fail or wait on purpose. */
function over(store: ObjectStore, changes: Partial<ObjectStore>): ObjectStore {
  return {
    putObject: (input) => store.putObject(input),
    deleteObject: (input) => store.deleteObject(input),
    headObject: (name) => store.headObject(name),
    openObject: (name) => store.openObject(name),
    listObjects: (input) => store.listObjects(input),
    bucketExists: (bucket) => store.bucketExists(bucket),
    createBucket: (bucket) => store.createBucket(bucket),
    deleteBucket: (bucket) => store.deleteBucket(bucket),
    listBuckets: () => store.listBuckets(),
    previewPurge: (bucket) => store.previewPurge(bucket),
    purgeBucket: (bucket) => store.purgeBucket(bucket),
    ...changes,
  }
}

describe('a request without a usable length', () => {
  it('is refused with 411 when nothing tells the length', async () => {
    await start()
    const raw = await site.connect()
    raw.write(put('/bucket/key', ''))
    const answer = await raw.until(/<\/Error>/)
    expect(answer).toMatch(/^HTTP\/1\.1 411 /)
    expect(answer).toContain('<Code>MissingContentLength</Code>')
    expect(answer).toMatch(/x-amz-request-id: [0-9A-F]{16}/)
  })

  it('is refused with 411 when the body is chunked, and the connection is not used again', async () => {
    await start()
    const raw = await site.connect()
    raw.write(put('/bucket/key', 'Transfer-Encoding: chunked\r\n'))
    raw.write('5\r\nhello\r\n0\r\n\r\n')
    const answer = await raw.end()
    expect(answer).toMatch(/^HTTP\/1\.1 411 /)
    expect(answer).toMatch(/Connection: close/i)
    expect((await site.send('HEAD', '/bucket/key')).status).toBe(404)
  })

  it('is refused with 413 beyond the largest upload, before a byte of it', async () => {
    await start()
    const raw = await site.connect()
    raw.write(put('/bucket/key', `Content-Length: ${5 * 2 ** 30 + 1}\r\n`))
    expect(await raw.until(/<\/Error>/)).toMatch(/^HTTP\/1\.1 413 [\s\S]*EntityTooLarge/)
  })
})

describe('a malformed request', () => {
  it.each([
    'GET /bucket/na\u00efve HTTP/1.1\r\nHost: x\r\n\r\n',
    'NONSENSE\r\n\r\n',
    'PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
    'PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ])('%j never reaches the store and gets a 400', async (text) => {
    await start()
    const raw = await site.connect()
    raw.write(Buffer.from(text, 'latin1'))
    expect(await raw.end()).toMatch(/^HTTP\/1\.1 400 /)
    expect(site.observed).toEqual([])
  })

  it('answers the absolute form like the usual one', async () => {
    await start()
    await site.send('PUT', '/bucket/key', { body: 'hello' })
    const raw = await site.connect()
    raw.write('GET http://somewhere:80/bucket/key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(await raw.end()).toMatch(/^HTTP\/1\.1 200 [\s\S]*hello$/)
  })
})

describe('Expect: 100-continue', () => {
  it('asks for the body when it can be stored', async () => {
    await start()
    for (const length of [5, 100_000, 1_000_000]) {
      const raw = await site.connect()
      raw.write(put('/bucket/key', `Content-Length: ${length}\r\nExpect: 100-continue\r\n`))
      await raw.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/)
      raw.write('x'.repeat(length))
      expect(await raw.until(/ 200 OK/)).toMatch(/100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
      raw.socket.destroy()
    }
  })

  it('is not answered to a client of HTTP/1.0, which knows no 1xx', async () => {
    await start()
    const raw = await site.connect()
    raw.write('PUT /bucket/key HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello')
    expect(await raw.end()).toMatch(/^HTTP\/1\.1 200 /)
  })

  const full = new StorageFullError({ wanted: 1 })
  const length = 'Content-Length: 1000000\r\n'
  const refusals: readonly [number, string, SiteOptions, string][] = [
    [
      401,
      'Unauthorized',
      { authorize: () => ({ allowed: false, status: 401, message: 'no' }) },
      length,
    ],
    [
      403,
      'AccessDenied',
      { authorize: () => ({ allowed: false, status: 403, message: 'no' }) },
      length,
    ],
    [404, 'NoSuchBucket', { autoCreateBuckets: false }, length],
    [411, 'MissingContentLength', {}, 'Transfer-Encoding: chunked\r\n'],
    [413, 'EntityTooLarge', { objectBytesMax: 10 }, length],
    [
      507,
      'InsufficientStorage',
      { wrapStore: (store) => over(store, { putObject: () => Promise.reject(full) }) },
      length,
    ],
    [
      503,
      'ServiceUnavailable',
      {
        wrapStore: (store) =>
          over(store, { putObject: () => Promise.reject(new StoreUnavailableError('gone')) }),
      },
      length,
    ],
  ]
  it.each(refusals)(
    'answers %i %s before the body is asked for',
    async (status, code, options, headers) => {
      await start(options)
      const raw = await site.connect()
      raw.write(put('/bucket/key', `${headers}Expect: 100-continue\r\n`))
      const answer = await raw.until(/<\/Error>/)
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(answer).toContain(`<Code>${code}</Code>`)
      expect(answer).toMatch(/Connection: close/i)
      raw.socket.destroy()
    },
  )
})

describe('an early answer to a client that is sending', () => {
  it('arrives although the client sends megabytes before it reads', async () => {
    await start({ authorize: () => ({ allowed: false, status: 403, message: 'no' }) })
    const raw = await site.connect()
    const body = Buffer.alloc(20_000_000)
    raw.write(put('/bucket/key', `Content-Length: ${body.length}\r\n`)).write(body)
    const answer = await raw.end()
    expect(answer).toMatch(/^HTTP\/1\.1 403 [\s\S]*<\/Error>$/)
  })

  it('leaves the connection usable when only a short rest is left', async () => {
    await start()
    const raw = await site.connect()
    raw.write(`${put('/UPPER/key', 'Content-Length: 5\r\n')}hello`)
    raw.write('GET /none HTTP/1.1\r\nHost: x\r\n\r\n')
    const answer = await raw.until(/NoSuchBucket/)
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*HTTP\/1\.1 404 /)
    raw.socket.destroy()
  })

  it('ends with a closed connection when the client falls silent', async () => {
    const clock = new ManualClock()
    await start({ clock, authorize: () => ({ allowed: false, status: 403, message: 'no' }) })
    const raw = await site.connect()
    raw.write(put('/bucket/key', 'Content-Length: 1000000\r\n'))
    await raw.until(/<\/Error>/)
    clock.advance(5000)
    await raw.end()
    expect(clock.armed).toBe(0)
  })
})

describe('pipelining', () => {
  it('answers in order, with each request seeing the writes answered before it', async () => {
    await start()
    await site.send('PUT', '/bucket/a', { body: 'first' })
    const raw = await site.connect()
    raw.write(
      'GET /bucket/a HTTP/1.1\r\nHost: x\r\n\r\n' +
        'HEAD /bucket/a HTTP/1.1\r\nHost: x\r\n\r\n' +
        'GET /bucket/none HTTP/1.1\r\nHost: x\r\n\r\n' +
        'DELETE /bucket/zzz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    )
    const statuses = [...(await raw.end()).matchAll(/HTTP\/1\.1 (\d+)/g)].map(
      ([, status]) => status,
    )
    expect(statuses).toEqual(['200', '200', '404', '204'])
  })
})

describe('an upload that breaks off', () => {
  it.each([1000, 1_000_000])(
    'of %i bytes stores nothing and gives back its budget',
    async (length) => {
      const budget = new ByteBudget({ clock: systemClock, capacityBytes: 64 * 2 ** 20 })
      const observed = gate()
      await start({ budget, observe: () => observed.open() })
      const raw = await site.connect()
      raw.write(put('/bucket/key', `Content-Length: ${length}\r\nExpect: 100-continue\r\n`))
      await raw.until(/100 Continue/)
      raw.write('x'.repeat(length - 1))
      raw.socket.end()
      await observed.opened
      expect(budget.heldBytes).toBe(0)
      expect(site.store.headObject({ bucket: 'bucket', key: 'key' })).toBeUndefined()
    },
  )

  it('aborts the signal that the store was given', async () => {
    const began = gate()
    const aborted = gate()
    await start({
      wrapStore: (store) =>
        over(store, {
          putObject(input) {
            input.signal?.addEventListener('abort', aborted.open)
            began.open()
            return store.putObject(input)
          },
        }),
    })
    const raw = await site.connect()
    raw.write(put('/bucket/key', 'Content-Length: 1000000\r\n')).write('x'.repeat(1000))
    await began.opened
    raw.socket.destroy()
    await aborted.opened
  })

  it.each([1000, 1_000_000])(
    'of %i bytes that stands still is answered and closed',
    async (length) => {
      const clock = new ManualClock()
      await start({ clock })
      const raw = await site.connect()
      raw.write(put('/bucket/key', `Content-Length: ${length}\r\nExpect: 100-continue\r\n`))
      await raw.until(/100 Continue/)
      clock.advance(59_000)
      raw.write('x')
      // The one byte must have been seen before the time goes on.
      await site.send('HEAD', '/none')
      expect(raw.received).not.toContain('RequestTimeout')
      clock.advance(80_000)
      await raw.until(/HTTP\/1\.1 400 [\s\S]*RequestTimeout/)
      clock.advance(5000)
      await raw.end()
      expect(clock.armed).toBe(0)
    },
  )
})

describe('a large upload', () => {
  it('holds its client back while the store takes nothing', async () => {
    const busy = gate()
    let taken = 0
    await start({
      wrapStore: (store) =>
        over(store, {
          async putObject(input) {
            await busy.opened
            for await (const piece of input.body as AsyncIterable<Uint8Array>) taken += piece.length
            return store.putObject({ ...input, body: Buffer.from('done'), contentLength: 4 })
          },
        }),
    })
    const blocks = 64
    const block = Buffer.alloc(2 ** 20)
    const raw = await site.connect()
    raw.write(put('/bucket/key', `Content-Length: ${blocks * block.length}\r\n`))
    let sent = 0
    const sending = (async () => {
      for (; sent < blocks; sent++) {
        if (!raw.socket.write(block)) await new Promise((go) => raw.socket.once('drain', go))
      }
    })()
    // The kernel's buffers take some; then nothing moves however often the loop turns.
    for (let still = 0, before = -1; still < 100; still = sent === before ? still + 1 : 0) {
      before = sent
      await site.send('HEAD', '/none')
    }
    expect(sent).toBeLessThan(blocks / 2)
    busy.open()
    await sending
    expect(await raw.until(/HTTP\/1\.1 \d+/)).toMatch(/^HTTP\/1\.1 200/)
    expect(taken).toBe(blocks * block.length)
    raw.socket.destroy()
  })

  it('is refused in the middle when the store fails, and the client sees why', async () => {
    await start({
      wrapStore: (store) =>
        over(store, {
          async putObject(input) {
            for await (const _piece of input.body as AsyncIterable<Uint8Array>) break
            throw new StorageFullError({ wanted: input.contentLength })
          },
        }),
    })
    const body = Buffer.alloc(3_000_000)
    const answer = await site.send('PUT', '/bucket/key', { body })
    expect(answer.status).toBe(507)
    expect(answer.text).toContain('<Code>InsufficientStorage</Code>')
  })
})

describe('a download', () => {
  const length = 8 * 2 ** 20

  async function startCounting(clock?: ManualClock): Promise<{ readonly closed: Promise<void> }> {
    const closed = gate()
    await start({
      ...(clock === undefined ? {} : { clock }),
      wrapStore: (store) =>
        over(store, {
          openObject(name) {
            const object = store.openObject(name)
            if (object === undefined) return undefined
            return {
              info: object.info,
              read: (range) => object.read(range),
              readWhole: () => object.readWhole(),
              readNow: () => undefined,
              close() {
                object.close()
                closed.open()
              },
            }
          },
        }),
    })
    await site.send('PUT', '/bucket/large', { body: Buffer.alloc(length, 'x') })
    return { closed: closed.opened }
  }

  it('closes the object when the client goes away in the middle', async () => {
    const { closed } = await startCounting()
    const raw = await site.connect()
    raw.write('GET /bucket/large HTTP/1.1\r\nHost: x\r\n\r\n')
    await raw.until(/200 OK/)
    raw.socket.destroy()
    await closed
  })

  it('is cut off when the client takes nothing for the idle time', async () => {
    const clock = new ManualClock()
    const { closed } = await startCounting(clock)
    const raw = await site.connect()
    raw.socket.pause()
    raw.write('GET /bucket/large HTTP/1.1\r\nHost: x\r\n\r\n')
    // The kernel's buffers fill first; then nothing moves any more.
    let done = false
    void closed.then(() => {
      done = true
    })
    for (let turn = 0; !done && turn < 10_000; turn++) {
      clock.advance(20_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await closed
    raw.socket.resume()
    expect((await raw.end()).length).toBeLessThan(length)
  })

  it('that finds rot at its start is an error, not a cut', async () => {
    await start({
      wrapStore: (store) =>
        over(store, {
          openObject(name) {
            const object = store.openObject(name)
            if (object === undefined) return undefined
            return {
              info: object.info,
              read: () => ({
                [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('rot')) }),
              }),
              readWhole: () => object.readWhole(),
              readNow: () => undefined,
              close: () => object.close(),
            }
          },
        }),
    })
    await site.send('PUT', '/bucket/large', { body: Buffer.alloc(2 ** 20) })
    const answer = await site.send('GET', '/bucket/large')
    expect(answer.status).toBe(500)
    expect(answer.text).toContain('<Code>InternalError</Code>')
    expect(answer.text).not.toContain('rot')
  })

  it('that finds rot in its middle is cut, so that nobody takes it for complete', async () => {
    await start({
      wrapStore: (store) =>
        over(store, {
          openObject(name) {
            const object = store.openObject(name)
            if (object === undefined) return undefined
            return {
              info: object.info,
              async *read() {
                yield Buffer.alloc(100_000)
                throw new Error('rot')
              },
              readWhole: () => object.readWhole(),
              readNow: () => undefined,
              close: () => object.close(),
            }
          },
        }),
    })
    await site.send('PUT', '/bucket/large', { body: Buffer.alloc(2 ** 20) })
    await expect(site.send('GET', '/bucket/large')).rejects.toThrow(/aborted|reset|hang up/)
  })
})

describe('a full volume', () => {
  it('answers 507 to writes of every size and goes on reading and deleting', async () => {
    await start({ capacityBytes: 64 * 2 ** 20 })
    const body = Buffer.alloc(2 ** 20)
    let status = 200
    let stored = 0
    for (; status === 200 && stored < 100; stored++) {
      status = (await site.send('PUT', `/bucket/${stored}`, { body })).status
    }
    expect(status).toBe(507)
    const raw = await site.connect()
    raw.write(put('/bucket/key', `Content-Length: ${body.length}\r\nExpect: 100-continue\r\n`))
    expect(await raw.until(/<\/Error>/)).toMatch(/^HTTP\/1\.1 507 [\s\S]*InsufficientStorage/)
    raw.socket.destroy()
    expect((await site.send('GET', '/bucket/0')).body.equals(body)).toBe(true)
    expect((await site.send('DELETE', '/bucket/0')).status).toBe(204)
  })
})

describe('the budget of bytes in flight', () => {
  it('makes requests wait, then answers 503 SlowDown', async () => {
    const budget = new ByteBudget({ clock: systemClock, capacityBytes: 1000, waitersMax: 1 })
    await start({ budget })
    await site.send('PUT', '/bucket/key', { body: 'x'.repeat(900) })
    expect(budget.heldBytes).toBe(0)
    expect(budget.tryAcquire(500)).toBe(true)
    const waiting = site.send('PUT', '/bucket/key', { body: 'y'.repeat(900) })
    while (budget.waiting === 0) await new Promise((resolve) => setImmediate(resolve))
    const refused = await site.send('GET', '/bucket/key')
    expect(refused.status).toBe(503)
    expect(refused.text).toContain('<Code>SlowDown</Code>')
    expect(refused.headers['retry-after']).toBe('1')
    budget.release(500)
    expect((await waiting).status).toBe(200)
    expect((await site.send('GET', '/bucket/key')).text).toBe('y'.repeat(900))
  })

  it('lets a waiter go whose client has left', async () => {
    const budget = new ByteBudget({ clock: systemClock, capacityBytes: 1000 })
    await start({ budget })
    budget.tryAcquire(1000)
    const raw = await site.connect()
    raw.write(put('/bucket/key', 'Content-Length: 100\r\n'))
    while (budget.waiting === 0) await new Promise((resolve) => setImmediate(resolve))
    raw.socket.destroy()
    while (budget.waiting === 1) await new Promise((resolve) => setImmediate(resolve))
    budget.release(1000)
    expect(budget.heldBytes).toBe(0)
  })
})
