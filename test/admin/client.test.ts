import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { AdminClient, type AdminClientOptions } from '../../src/admin/client.ts'
import {
  AdminRequestError,
  SiteUnreachableError,
  UnexpectedAnswerError,
} from '../../src/admin/client-errors.ts'
import { exampleRemote, exampleStatus } from './example-status.ts'

const closers: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly authorization: string | undefined
  readonly body: string
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A client of a site that answers every request with `answer`, and what the site saw. */
async function clientOf(answer: Answer, options: Partial<AdminClientOptions> = {}) {
  const seen: Seen[] = []
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method, url, headers } = request
    const body = Buffer.concat(chunks).toString()
    seen.push({ method, url, authorization: headers.authorization, body })
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = new AdminClient({ url, ...options })
  closers.push(async () => {
    await client.close()
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return { client, seen, url }
}

function json(status: number, document: unknown): Answer {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document))
  }
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

describe('each question', () => {
  test('status is asked with the token and checked', async () => {
    const { client, seen } = await clientOf(json(200, exampleStatus), { token: 'abc' })
    expect(await client.status()).toEqual(exampleStatus)
    expect(JSON.parse(await client.statusText())).toEqual(exampleStatus)
    expect(seen[0]).toEqual({
      method: 'GET',
      url: '/admin/replication/status',
      authorization: 'Bearer abc',
      body: '',
    })
  })

  test('health is a result also when the site cannot serve', async () => {
    const document = { status: 'degraded', reasons: ['the volume is read-only'] }
    const { client, seen } = await clientOf(json(503, document))
    expect(await client.health()).toEqual(document)
    expect(seen[0]?.authorization).toBeUndefined()
  })

  test('replay sends what it was told', async () => {
    const { client, seen } = await clientOf(json(200, { count: 3, bytes: 9, through: 12 }))
    expect(await client.replay({ failed: true, dry_run: true })).toEqual({
      count: 3,
      bytes: 9,
      through: 12,
    })
    expect(seen[0]).toMatchObject({ method: 'POST', url: '/admin/replication/replay' })
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ failed: true, dry_run: true })
  })

  test('failed lists the dead letters', async () => {
    const change = {
      remote: 'default',
      seq: 7,
      bucket: 'b',
      key: null,
      bytes: 0,
      reason: 'no',
      attempts: 3,
      time: '2025-12-03T21:00:00Z',
    }
    const { client } = await clientOf(json(200, { failed: [change] }))
    expect(await client.failed()).toEqual({ failed: [change] })
  })

  test('purge is asked for in two steps', async () => {
    const answers = [
      { count: 2, total_size: 10 },
      { deleted_count: 2, freed_size: 10 },
    ]
    const { client, seen } = await clientOf((request, response) =>
      json(200, answers.shift())(request, response),
    )
    expect(await client.previewPurge('my-bucket')).toEqual({ count: 2, total_size: 10 })
    expect(await client.purge('my-bucket')).toEqual({ deleted_count: 2, freed_size: 10 })
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'DELETE /admin/my-bucket/objects',
      'DELETE /admin/my-bucket/objects?confirm=true',
    ])
  })

  test('metrics are text', async () => {
    const { client } = await clientOf((_, response) => response.end('comio_up 1\n'))
    expect(await client.metrics()).toBe('comio_up 1\n')
  })
})

describe('a refusal', () => {
  const document = { error: { code: 'NO_TOKEN', message: 'a token is required', hint: 'theirs' } }

  test('carries status, code and message, and no token', async () => {
    const { client, url } = await clientOf(json(404, document), { token: 'very-secret' })
    const error = await failureOf(client.status())
    expect(error).toBeInstanceOf(AdminRequestError)
    expect(error).toMatchObject({ status: 404, code: 'NO_TOKEN', hint: 'theirs' })
    expect(String(error)).toContain(`${url} refuses: a token is required`)
    expect(JSON.stringify(error) + String(error)).not.toContain('very-secret')
  })

  test('401 without a token says how to pass one', async () => {
    const { client } = await clientOf(json(401, document))
    expect(await failureOf(client.status())).toMatchObject({
      hint: 'The site wants a token: pass it with --token-file FILE, --token TOKEN or COMIO_TOKEN.',
    })
  })

  test('401 with a token says that this one is unknown, 403 what the site says', async () => {
    const unknown = await clientOf(json(401, document), { token: 'x' })
    expect(await failureOf(unknown.client.status())).toMatchObject({
      hint: expect.stringContaining('does not know this token'),
    })
    const weak = await clientOf(json(403, document), { token: 'x' })
    expect(await failureOf(weak.client.replay({ all: true }))).toMatchObject({
      hint: 'theirs',
    })
    const mute = await clientOf(json(403, { error: { code: 'X', message: 'no' } }), { token: 'x' })
    expect(await failureOf(mute.client.replay({ all: true }))).toMatchObject({
      hint: expect.stringContaining('role admin'),
    })
  })
})

describe('something that is no site', () => {
  test.each([
    ['HTML', (_: unknown, response: ServerResponse) => response.end('<html>')],
    [
      'HTML with an error status',
      (_: unknown, response: ServerResponse) => {
        response.statusCode = 502
        response.end('<html>')
      },
    ],
    ['a list', json(200, [])],
    ['null', json(200, null)],
    [
      'a redirect',
      (_: unknown, response: ServerResponse) => {
        response.writeHead(302, { location: '/elsewhere' }).end()
      },
    ],
    ['a field of another type', json(200, { ...exampleStatus, pending: '3' })],
    [
      'a remote without a state',
      json(200, { ...exampleStatus, remotes: [{ ...exampleRemote, state: undefined }] }),
    ],
    ['a remote that is text', json(200, { ...exampleStatus, remotes: ['x'] })],
  ] satisfies [string, Answer][])('is recognised by %s', async (_, answer) => {
    const { client, seen } = await clientOf(answer)
    expect(await failureOf(client.status())).toBeInstanceOf(UnexpectedAnswerError)
    expect(seen).toHaveLength(1)
  })

  test('is not read beyond the bound', async () => {
    const { client } = await clientOf((_, response) => response.end('x'.repeat(5000)), {
      answerBytesMax: 4096,
    })
    const error = await failureOf(client.metrics())
    expect(error).toBeInstanceOf(UnexpectedAnswerError)
    expect(String(error)).toContain('longer than 4096 bytes')
  })
})

describe('nobody', () => {
  test('at a closed port is unreachable', async () => {
    const { client } = await clientOf((request) => request.socket.destroy())
    expect(await failureOf(client.status())).toBeInstanceOf(SiteUnreachableError)
    const gone = new AdminClient({ url: 'http://127.0.0.1:1' })
    const error = await failureOf(gone.status())
    expect(String(error)).toContain(
      'cannot reach a site at http://127.0.0.1:1: nothing listens there',
    )
    await gone.close()
  })

  test('who does not answer in time is unreachable', async () => {
    const { client } = await clientOf(() => undefined, { timeoutMs: 50 })
    const error = await failureOf(client.status())
    expect(error).toBeInstanceOf(SiteUnreachableError)
    expect(String(error)).toContain('no answer within 0.05 s')
  })

  test('who stops in the middle of an answer is unreachable', async () => {
    const { client } = await clientOf((_, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('{')
      response.socket?.end()
    })
    expect(await failureOf(client.status())).toBeInstanceOf(SiteUnreachableError)
  })
})

test('a site that is starting is told apart from an address where no site is', async () => {
  const { client } = await clientOf(
    json(503, { status: 'degraded', reasons: ['the site is starting'] }),
  )
  const failure = await failureOf(client.status())
  expect(failure).toBeInstanceOf(SiteUnreachableError)
  expect(failure).toMatchObject({ message: expect.stringContaining('the site is starting') })
})
