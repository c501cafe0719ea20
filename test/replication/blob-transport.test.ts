import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { messageOf } from '../../src/base/errors.ts'
import { createHttpBlobTransport } from '../../src/replication/http/http-blob-transport.ts'
import { TicketGoneError } from '../../src/replication/wire/errors.ts'
import type { BlobTransport } from '../../src/replication/wire/transport.ts'

let server: Server
let transport: BlobTransport
let answer = { status: 200, body: '' }

beforeEach(async () => {
  transport = createHttpBlobTransport({ compression: 'auto' })
  server = createServer((_request, response) => response.writeHead(answer.status).end(answer.body))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  await transport.close()
  await new Promise((resolve) => server.close(resolve))
})

async function failureOf(status: number, body: string): Promise<unknown> {
  answer = { status, body }
  const { port } = server.address() as AddressInfo
  const range = { origin: `http://127.0.0.1:${port}`, ticket: '00', start: 0, end: 9 }
  return transport.fetchRange(range, new AbortController().signal).catch((error: unknown) => error)
}

describe('a range that is refused', () => {
  test.each([
    [200, 'root:x:0:0 secret'],
    [403, '{"error":{"code":"the secret","message":"secret"}}'],
    [500, '{"error":{"code":"BROKEN","message":"secret"}}'],
    [404, '<h1>secret</h1>'],
  ])('%i: nothing that the announced host says travels on but its code', async (status, body) => {
    const reason = messageOf(await failureOf(status, body))
    expect(reason).toContain(String(status))
    expect(reason).not.toContain('secret')
    expect(reason.includes('BROKEN')).toBe(body.includes('BROKEN'))
  })

  test('for its ticket says what became of the ticket', async () => {
    const body = '{"error":{"code":"TICKET_SUPERSEDED","message":"gone"}}'
    const failure = await failureOf(410, body)
    expect(failure).toBeInstanceOf(TicketGoneError)
    expect(failure).toMatchObject({ end: 'superseded' })
  })
})
