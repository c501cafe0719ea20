/** HTTP threads that cannot read the index: who is told, and how that ends. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { AccessControl } from '../../src/server/credentials/access.ts'
import { HttpThreads, type HttpThreadsOptions } from '../../src/server/threads/http-threads.ts'
import { NotYet, until } from '../e2e/until.ts'
import { ManualClock } from '../replication/manual-clock.ts'
import { parseMetrics } from './parse-metrics.ts'
import { TestSite } from './test-site.ts'
import { ThreadMessages } from './thread-messages.ts'

let messages: ThreadMessages
const cleanup: (() => unknown)[] = []

beforeEach(() => {
  messages = ThreadMessages.watch()
})
afterEach(async () => {
  messages.release()
  vi.restoreAllMocks()
  for (const step of cleanup.splice(0).reverse()) await step()
})

/** One thread with an index at `indexPath`, and with nothing else. */
async function startThread(
  threads: HttpThreads,
  given: Pick<HttpThreadsOptions, 'clock' | 'indexPath' | 'logger'>,
): Promise<void> {
  const rules = { loopback: true, allowAnonymous: false, scheme: 'http' } as const
  cleanup.push(() => threads.close(0))
  await threads.start({
    ...{ ...given, count: 1, rules, engineSocket: '', autoCreateBuckets: true, answers: true },
    listen: {
      address: { host: '127.0.0.1', port: 0, shared: 'further' },
      ...{ limits: { connectionsMax: 1 }, tls: undefined },
    },
    access: new AccessControl({ ...rules, tokens: [], acceptTokens: [] }),
    revoked: { digests: () => [] },
    volume: { identity: { volumeId: '00'.repeat(16) } },
    onCounted: () => undefined,
    onFailed: () => undefined,
  } as unknown as HttpThreadsOptions)
}

test('a thread that cannot read the index says so, and tries again unless the index is being opened anew', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'comio-thread-index-'))
  cleanup.push(() => rm(folder, { recursive: true }))
  const indexPath = join(folder, 'index')
  await writeFile(indexPath, 'no folder')
  const clock = new ManualClock()
  const said: string[] = []
  const say: Logger['info'] = (_fields, message) => void said.push(message)
  const threads = new HttpThreads()
  await startThread(threads, {
    clock,
    indexPath,
    logger: { ...silentLogger, info: say, warn: say },
  })
  const nextTry = async (): Promise<void> => {
    await until('the next try is due', async () => clock.isAwaited || new NotYet(''))
    clock.advance(5000)
  }
  const without = (count: number): Promise<true> =>
    until(`${count} cannot read`, async () => threads.withoutIndex === count || new NotYet(''))
  await without(1)
  const since = new Date(clock.now()).toISOString()
  const reason = `HTTP threads that cannot read the index since ${since}, 1: they pass on all requests`
  expect(threads.reasons()).toEqual([reason])

  messages.hold('enter index')
  await nextTry()
  expect(messages.held).toBe(1)
  await threads.leave()
  await nextTry()
  expect(messages.held).toBe(1)
  threads.enter()
  expect(messages.held).toBe(2)
  messages.release()
  await threads.leave()
  threads.enter()
  expect(threads.reasons()).toEqual([reason])

  await rm(indexPath)
  const index = await LevelIndex.open({ path: indexPath, readers: threads })
  cleanup.splice(1, 0, () => index.close())
  await nextTry()
  await without(0)
  // Left and entered as ever, which is nothing to speak of.
  await threads.leave()
  threads.enter()
  await threads.leave()
  expect(threads.reasons()).toEqual([])
  expect(said).toEqual([
    'An HTTP thread cannot read the index: it passes on all requests',
    'An HTTP thread can read the index again',
  ])
})

test('health and metrics of a site tell of it for as long as it lasts', async () => {
  const site = await TestSite.make()
  cleanup.push(() => site.remove())
  await site.start({ server: { threads: 2 } })
  const seen = async () => {
    const { status, reasons } = await site.json('GET', '/admin/health')
    const metrics = parseMetrics((await site.send('GET', '/admin/metrics')).body.toString())
    return { status, reasons, metric: metrics.get('comio_http_threads_without_index') }
  }
  expect(await seen()).toEqual({ status: 'ok', reasons: [], metric: 0 })
  const says = (failure: string | undefined) =>
    messages.workers[0]?.emit('message', { kind: 'entered index', failure })
  // It could read it the next time it is told to try.
  messages.hold('enter index')
  says('no luck')
  const told = await until('it is told', async () => {
    const now = await seen()
    return now.status === 'degraded' ? now : new NotYet('')
  })
  expect(told.reasons).toEqual([
    expect.stringMatching(/^HTTP threads that cannot read the index since \S+, 1: /),
  ])
  says(undefined)
  await until('it is over', async () => {
    const { status, metric } = await seen()
    return (status === 'ok' && metric === 0) || new NotYet('')
  })
  expect(told.metric).toBe(1)
})
