import { request } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { createHttpTransport } from '../../src/replication/http/http-transport.ts'
import { goodToken, HttpSite } from './http-site.ts'
import { unlimitedTraffic } from './memory-pair.ts'

let site: HttpSite
beforeEach(async () => {
  site = await HttpSite.open({ siteId: 'site-b', options: { batchBytes: 1000, batchSize: 1 } })
})
afterEach(() => site.close())

interface Answer {
  readonly status: number
  readonly text: string
  readonly connection: string | undefined
}

function ask(
  path: string,
  options: {
    readonly method?: string
    readonly headers?: Record<string, string>
    readonly body?: string | Buffer
    /** Sends the head only, and waits for the answer. */
    readonly headOnly?: boolean
  } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'POST', headers = {}, body = '', headOnly = false } = options
    const sent = request(`${site.url}${path}`, { method, headers }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString()
        resolve({ status: response.statusCode ?? 0, text, connection: response.headers.connection })
        sent.destroy()
      })
    })
    sent.on('error', reject)
    if (headOnly) sent.flushHeaders()
    else sent.end(body)
  })
}

const authorization = `Bearer ${goodToken}`

describe('the endpoints of replication', () => {
  test.each(['handshake', 'batch', 'completions'])(
    '%s refuses a wrong or missing token before a byte of the body is read',
    async (endpoint) => {
      for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
        const answer = await ask(`/admin/replication/${endpoint}`, {
          headers: { ...headers, 'content-length': '1000000' },
          headOnly: true,
        })
        expect(answer).toMatchObject({ status: 401, connection: 'close' })
      }
    },
  )

  test('refuse what is too large by its announced length, unread', async () => {
    const answer = await ask('/admin/replication/batch', {
      headers: { authorization, 'content-length': '1000000' },
      headOnly: true,
    })
    expect(answer.status).toBe(413)
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'BATCH_TOO_LARGE' } })
  })

  test('get a refusal through to a sender that is still sending', async () => {
    const transport = createHttpTransport({
      url: site.url,
      token: goodToken,
      workers: 1,
      allowPlaintext: false,
      traffic: unlimitedTraffic(systemClock),
      clock: systemClock,
    })
    try {
      for (let i = 0; i < 5; i++) {
        const sending = transport.sendBatch(
          [Buffer.alloc(8 * 2 ** 20)],
          new AbortController().signal,
        )
        await expect(sending).rejects.toMatchObject({ status: 413, remoteCode: 'BATCH_TOO_LARGE' })
      }
    } finally {
      await transport.close()
    }
  })

  test('want to know a batch’s length', async () => {
    const headers = { authorization, 'transfer-encoding': 'chunked' }
    const answer = await ask('/admin/replication/batch', { headers, body: 'x' })
    expect(answer.status).toBe(411)
  })

  test('answer nonsense with 400 and change nothing', async () => {
    const batch = await ask('/admin/replication/batch', {
      headers: { authorization },
      body: 'noise',
    })
    expect(batch.status).toBe(400)
    const hello = await ask('/admin/replication/handshake', {
      headers: { authorization },
      body: '{',
    })
    expect(hello.status).toBe(400)
    expect(JSON.parse(hello.text)).toMatchObject({ error: { code: 'MALFORMED_BYTES' } })
    expect(site.store.engine.feed.head()).toBe(0)
  })

  test('say no by name to a sender of another protocol', async () => {
    const hello = {
      protocol: 2,
      volumeId: 'v',
      incarnation: 'i',
      incarnationSince: 0,
      siteId: 'site-x',
      advertiseUrl: 'http://127.0.0.1:1',
      wallTime: 0,
      filterHash: 'all',
      head: 0,
    }
    const answer = await ask('/admin/replication/handshake', {
      headers: { authorization },
      body: JSON.stringify(hello),
    })
    expect(answer.status).toBe(421)
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'PROTOCOL_MISMATCH' } })
  })

  test('are those methods only that they are meant for', async () => {
    expect((await ask('/admin/replication/batch', { method: 'GET' })).status).toBe(405)
    expect((await ask(`/admin/replication/blob/${'0'.repeat(64)}`)).status).toBe(405)
    expect((await ask('/admin/replication/other')).status).toBe(404)
  })

  test('open no blob to a ticket that was made up, whatever token comes with it', async () => {
    for (const ticket of ['0'.repeat(64), 'zz', '', '../../etc']) {
      const answer = await ask(`/admin/replication/blob/${ticket}`, {
        method: 'GET',
        headers: { authorization, range: 'bytes=0-9' },
      })
      expect(answer.status).toBe(404)
    }
  })
})
