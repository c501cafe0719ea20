import { hash } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ConflictDocument } from '../../src/admin/conflict-protocol.ts'
import { bytesOf } from './content.ts'
import { HoldingProxy } from './holding-proxy.ts'
import { acceptedToken, pointingAt, shippingTo } from './pair-settings.ts'
import { inParallel } from './parallel.ts'
import { runComio } from './run-program.ts'
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

test('a key written at both sites while they were cut is listed at both, kept, and resolved from one', async () => {
  const [toA, toB] = [await HoldingProxy.listen(), await HoldingProxy.listen()]
  try {
    const settings = (url: string) =>
      shippingTo(url, { accept_tokens: [acceptedToken], conflict_policy: 'keep-both' })
    const a = await bed.site('a', settings(toB.url)).start()
    const b = await bed.site('b', settings(toA.url)).start()
    toA.passTo(a.url)
    toB.passTo(b.url)
    await a.put('/docs/before', 'before')
    await untilAtRest([a, b])
    for (const proxy of [toA, toB]) proxy.hold()
    const [first, second] = ['written at a', 'written later at b']
    await a.put('/docs/shared', first)
    await b.put('/docs/shared', second)
    await Promise.all([toA.holds('shared'), toB.holds('shared')])
    for (const proxy of [toA, toB]) proxy.release()
    await untilAtRest([a, b])

    const siteIds = (await Promise.all([a.status(), b.status()])).map(({ site_id }) => site_id)
    const listed = await Promise.all([a, b].map(conflictsOf))
    for (const conflicts of listed) {
      expect(conflicts).toMatchObject([
        {
          ...{ bucket: 'docs', key: 'shared', kept_now: true },
          loser: { site: siteIds[0], kind: 'put', size: first.length, etag: md5(first) },
          winner: { site: siteIds[1], kind: 'put', size: second.length, etag: md5(second) },
        },
      ])
      const { loser, winner, kept_as } = conflicts[0] ?? {}
      expect(Date.parse(loser?.time ?? '')).toBeLessThanOrEqual(Date.parse(winner?.time ?? ''))
      expect((await b.send('GET', `/docs/${kept_as}`)).body.toString()).toBe(first)
    }
    expect(listed[0]?.[0]?.kept_as).toBe(listed[1]?.[0]?.kept_as)

    const id = String(listed[0]?.[0]?.id)
    const resolve = ['repl', 'conflicts', 'resolve', id, '--keep', 'loser', '--url', a.url]
    expect(await runComio(resolve)).toMatchObject({ code: 0, stderr: '' })
    await untilAtRest([a, b])
    expect(await Promise.all([a, b].map(conflictsOf))).toEqual([[], []])
    const objects = await expectEqualBuckets([a, b], 'docs', 1)
    expect(objects.map(({ key }) => key)).toEqual(['before', 'shared'])
    expect((await b.send('GET', '/docs/shared')).body.toString()).toBe(first)
  } finally {
    await Promise.all([toA.close(), toB.close()])
  }
})

async function conflictsOf(site: SiteProcess): Promise<readonly ConflictDocument[]> {
  const list = await runComio(['repl', 'conflicts', 'list', '--json', '--url', site.url])
  expect(list).toMatchObject({ code: 0, stderr: '' })
  return JSON.parse(list.stdout).conflicts
}

const md5 = (text: string): string => hash('md5', text)
