/** What HTTP threads have to say is said in the log of their site. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { ComioError } from '../../src/base/errors.ts'
import type { FromThread } from '../../src/server/threads/messages.ts'
import { threadLogger } from '../../src/server/threads/thread-logger.ts'
import { NotYet, until } from '../e2e/until.ts'
import { RawConnection } from './kept-connection.ts'
import { TestSite } from './test-site.ts'
import { ThreadMessages } from './thread-messages.ts'

let site: TestSite
let messages: ThreadMessages

beforeEach(async () => {
  site = await TestSite.make()
  messages = ThreadMessages.watch()
})
afterEach(async () => {
  vi.restoreAllMocks()
  await site.remove()
})

test('at level debug each request leaves one line, and so does what is no request, whoever took it', async () => {
  await site.start({ logging: { level: 'debug' }, server: { threads: 2 } })
  const said: FromThread[] = []
  messages.workers[0]?.on('message', (message: FromThread) => {
    if (message.kind === 'log') said.push(message)
  })
  // The system divides connections by their ports: one in two is the thread's.
  let count = 0
  while (count < 4 || (said.length === 0 && count < 64)) {
    const raw = new RawConnection(site.url)
    const get = `GET /first/${count++} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
    await raw.ask(get, /^HTTP\/1.1 404[\s\S]*<\/Error>/)
    await raw.ask('no request\r\n\r\n', /^HTTP\/1.1 400.*/)
    raw.close()
  }
  const linesOf = (wanted: string) => site.records().filter(({ msg }) => msg === wanted)
  await until('all is said', async () => {
    const lines = [linesOf('Request').length, linesOf('A malformed request was refused').length]
    return lines.every((number) => number >= count) || new NotYet(lines)
  })
  const requests = linesOf('Request').map(({ path, status, from }) => [path, status, from])
  expect(requests.sort()).toEqual(
    Array.from({ length: count }, (_, at) => [`/first/${at}`, 404, '127.0.0.1']).sort(),
  )
  expect(linesOf('A malformed request was refused')).toHaveLength(count)
  expect(said).toContainEqual(expect.objectContaining({ level: 'debug' }))
})

test('a line comes with the fields of its logger, and with errors as the log has them', () => {
  class SomeError extends ComioError {
    readonly code = 'SOME'
  }
  const sent: FromThread[] = []
  const logger = threadLogger((message) => sent.push(structuredClone(message)))
  const error = new SomeError('no luck', { cause: new Error('the disk') })
  const fields = { error, err: new Error('a bug'), bytes: 2n ** 60n, clock: systemClock }
  logger.child({ component: 's3' }).warn(fields, 'a line')
  expect(sent).toEqual([
    {
      ...{ kind: 'log', level: 'warn', message: 'a line' },
      fields: {
        ...{ component: 's3', bytes: '1152921504606846976', clock: expect.anything() },
        error: 'SOME: no luck (the disk)',
        err: expect.stringMatching(/^Error: a bug\n +at .*thread-log.test.ts/),
      },
    },
  ])
})
