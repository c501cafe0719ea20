/** What becomes of a site when one of its HTTP threads fails, or cannot read. */
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { NotYet, until } from '../e2e/until.ts'
import { type Connections, connectRaw, connectTo } from './kept-connection.ts'
import { TestSite } from './test-site.ts'

let site: TestSite
let connections: Connections
/** Those that the site has started. */
let workers: Worker[]

beforeEach(async () => {
  site = await TestSite.make()
  workers = []
  const post = Worker.prototype.postMessage
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...args) {
    if (args[0].kind === 'serve') workers.push(this)
    post.apply(this, args)
  })
  await site.start({ server: { threads: 2 } })
  connections = await connectTo(site, { bucket: 'first', key: 'k' })
})
afterEach(async () => {
  vi.restoreAllMocks()
  connections.close()
  await site.remove()
})

/** Something that no thread understands. */
function fail(worker: Worker | undefined): void {
  worker?.postMessage({ kind: 'credentials', state: null })
}

test('a site ends in order when a thread fails, and says why', async () => {
  // Under way when the thread fails; it comes to its end.
  const raw = await connectRaw(site, '/first/k', 'engine')
  const head = 'PUT /first/new HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n'
  await raw.ask(`${head}Content-Length: 4\r\n\r\n`, /HTTP\/1.1 100 Continue\r\n\r\n/)
  fail(workers[0])
  await until('the site ends', async () =>
    site.records().some(({ msg }) => msg === 'Shutting down') ? true : new NotYet(''),
  )
  expect(await raw.ask('body', /^HTTP.*/)).toBe('HTTP/1.1 200 OK')
  raw.close()

  await expect(site.stop()).rejects.toMatchObject({
    ...{ code: 'HTTP_THREAD_FAILED', message: expect.stringMatching(/null/) },
    hint: expect.stringContaining('Start the site again'),
  })
  await expect(connections.thread.send('GET', '/first/k')).rejects.toThrow(/ECONN/)
  expect(site.records().filter(({ level }) => level === 'error')).toEqual([
    expect.objectContaining({
      msg: 'An HTTP thread has failed: the site ends',
      error: expect.stringContaining('http-thread.ts'),
    }),
  ])
  expect(site.records().at(-1)).toMatchObject({ msg: 'Stopped' })
})
