/** What becomes of a site when one of its HTTP threads fails, or cannot read. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LevelHandle } from '../../src/index/level-handle.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { NotYet, until } from '../e2e/until.ts'
import {
  type Connections,
  connectRaw,
  connectTo,
  type KeptConnection,
  whoAnswered,
} from './kept-connection.ts'
import { TestSite } from './test-site.ts'
import { ThreadMessages } from './thread-messages.ts'

let site: TestSite
let connections: Connections
let messages: ThreadMessages

beforeEach(async () => {
  site = await TestSite.make()
  messages = ThreadMessages.watch()
  await site.start({ server: { threads: 2 } })
  connections = await connectTo(site, { bucket: 'first', key: 'k' })
})
afterEach(async () => {
  vi.restoreAllMocks()
  connections.close()
  await site.remove()
})

test('a site ends in order when a thread fails, and says why', async () => {
  // Under way when the thread fails; it comes to its end.
  const raw = await connectRaw(site, '/first/k', 'engine')
  const head = 'PUT /first/new HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n'
  await raw.ask(`${head}Content-Length: 4\r\n\r\n`, /HTTP\/1.1 100 Continue\r\n\r\n/)
  // Something that no thread understands.
  messages.workers[0]?.postMessage({ kind: 'credentials', state: null })
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

test('an index that is opened anew is left by a thread and entered again, while it is read and written', async () => {
  const { engine, thread } = connections
  const engineId = whoAnswered(await engine.send('GET', '/first/k'))
  const others = await connectTo(site, { bucket: 'first', key: 'k' })
  messages.hold('enter index')
  // What it does with its reserve is tested elsewhere.
  vi.spyOn(LevelIndex.prototype, 'isShort', 'get').mockReturnValue(false)
  let isOver = false
  const own = { before: 0, out: 0, after: 0 }
  let phase: keyof typeof own = 'before'
  const work = async (connection: KeptConnection, key: string): Promise<void> => {
    for (let at = 0; !isOver; at++) {
      const body = `${key} ${at}`
      const [path, began] = [`/docs/${key}`, phase]
      expect((await connection.send('PUT', path, { body })).status).toBe(200)
      const got = await connection.send('GET', path)
      expect([got.status, got.body.toString()]).toEqual([200, body])
      if (whoAnswered(got) !== engineId && began === phase) own[phase]++
    }
  }
  const reached = (count: number): Promise<true> =>
    until(`the thread answers itself: ${phase}`, async () =>
      own[phase] >= count ? true : new NotYet(own),
    )
  const working = [thread, others.thread, others.engine].map((connection, which) =>
    work(connection, `key-${which}`),
  )
  try {
    for (let round = 0; round < 3; round++) {
      phase = 'before'
      own.before = 0
      await reached(20)
      vi.spyOn(LevelHandle.prototype, 'batch').mockRejectedValueOnce(new Error('planted'))
      await until('the thread may enter again', async () => messages.held > 0 || new NotYet(''))
      phase = 'out'
      for (let at = 0; at < 20; at++) {
        expect(whoAnswered(await thread.send('GET', '/first/k'))).toBe(engineId)
      }
      phase = 'after'
      own.after = 0
      messages.release()
      await reached(20)
      messages.hold('enter index')
    }
  } finally {
    isOver = true
    await Promise.all(working)
    others.close()
  }
  expect(own.out).toBe(0)
  const said = site.records().map(({ msg }) => msg)
  expect(said.filter((msg) => msg === 'index written again')).toHaveLength(3)
})
