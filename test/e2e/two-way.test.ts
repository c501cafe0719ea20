import { afterEach, beforeEach, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { pointingAt } from './pair-settings.ts'
import { inParallel } from './parallel.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { type SiteProcess, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

async function startPair(): Promise<readonly [SiteProcess, SiteProcess]> {
  const a = await bed.site('a').start()
  const b = await bed.site('b', pointingAt(a.url)).start()
  await a.stop()
  await a.start(pointingAt(b.url))
  return [a, b]
}

interface Rest {
  readonly heads: readonly number[]
  readonly queued: readonly number[]
}

/** Both have shipped everything, twice in a row at the same place. */
function untilAtRest(sites: readonly SiteProcess[]): Promise<Rest> {
  let before = ''
  return until('both are at rest', async () => {
    const statuses = await Promise.all(sites.map((site) => site.status()))
    const rest = {
      heads: statuses.map(({ remotes }) => remotes[0]?.head ?? 0),
      queued: statuses.map(({ events_queued }) => events_queued),
    }
    const said = JSON.stringify(rest)
    const isAtRest = said === before && statuses.every(({ pending }) => pending === 0)
    before = said
    return isAtRest ? rest : new NotYet(said)
  })
}

test('two sites that point at each other end with the same content, and do not send in circles', async () => {
  const [a, b] = await startPair()
  const large = bytesOf(1, 3 * 2 ** 20)
  await inParallel(32, 600, async (i) => {
    await a.put(`/docs/of-a-${i}`, bytesOf(i, 1000))
    await b.put(`/docs/of-b-${i}`, bytesOf(i, 2000))
    const [first, second] = i % 2 === 0 ? [a, b] : [b, a]
    await Promise.all([
      first.put(`/docs/both-${i % 50}`, `${i} at the first`),
      second.put(`/docs/both-${i % 50}`, `${i} at the second`),
    ])
    if (i % 5 === 0) await first.send('DELETE', `/docs/both-${i % 50}`)
    if (i % 200 === 0) await second.put(`/docs/large-${i}`, large)
  })
  const rest = await untilAtRest([a, b])
  await expectEqualBuckets([a, b], 'docs', 20)
  for (const site of [a, b]) expect((await site.status()).events_failed).toBe(0)

  // One more write is one more place in each feed: nothing else moves any more.
  await a.put('/docs/marker', 'marker')
  await until('B has the marker', async () => {
    const answer = await b.send('GET', '/docs/marker')
    return answer.body.toString() === 'marker' ? true : new NotYet(answer.status)
  })
  const after = await untilAtRest([a, b])
  expect(after.heads).toEqual(rest.heads.map((head) => head + 1))
  expect(after.queued).toEqual(rest.queued.map((queued) => queued + 1))
})

test('what was deleted at one site while the other was away does not come back', async () => {
  const [a, b] = await startPair()
  await inParallel(16, 200, (i) => a.put(`/docs/${i}`, `object ${i}`))
  await untilAtRest([a, b])
  await b.kill()
  await inParallel(16, 100, async (i) => {
    expect((await a.send('DELETE', `/docs/${i}`)).status).toBe(204)
  })
  await a.kill()
  await b.start()
  await inParallel(16, 50, (i) => b.put(`/docs/new-${i}`, `new ${i}`))
  await a.start()
  await untilAtRest([a, b])
  const objects = await expectEqualBuckets([a, b], 'docs', 10)
  const old = objects.filter(({ key }) => !key.startsWith('new-')).map(({ key }) => Number(key))
  expect(objects).toHaveLength(150)
  expect(Math.min(...old)).toBe(100)
})
