/** The line that each request leaves at level debug. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type LogFields, type Logger, silentLogger } from '../../src/base/log.ts'
import { withAccessLog } from '../../src/server/listener/access-log.ts'

const server = createServer()
afterEach(() => server.close())

test('names the address that a request came from, whatever its client says, and after it is gone', async () => {
  const lines: LogFields[] = []
  const { promise: written, resolve } = Promise.withResolvers<void>()
  const debug: Logger['debug'] = (fields) => {
    lines.push(fields)
    resolve()
  }
  const handled = once(server, 'request')
  server.on(
    'request',
    withAccessLog(() => undefined, { ...silentLogger, debug }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const client = connect(typeof address === 'object' && address !== null ? address.port : 0)
  client.write(
    'PUT /a/b HTTP/1.1\r\nHost: a\r\nX-Comio-Client: 6.6.6.6\r\nContent-Length: 9\r\n\r\n',
  )
  await handled
  client.resetAndDestroy()
  await written
  expect(lines).toMatchObject([{ path: '/a/b', complete: false, from: '127.0.0.1' }])
})
