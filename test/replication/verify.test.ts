import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import type { Difference } from '../../src/replication/verify/judge.ts'
import { Responder } from '../../src/replication/verify/responder.ts'
import type { VerifyReport } from '../../src/replication/verify/verification.ts'
import { parseDigestQuery, verifyLimits } from '../../src/replication/wire/verify-documents.ts'
import { spoil } from '../store/spoil.ts'
import { eventually, HttpSite } from './http-site.ts'
import { putOf } from './memory-site.ts'

const opened: HttpSite[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const site of opened.splice(0).reverse()) await site.close()
})

async function openSite(siteId: string): Promise<HttpSite> {
  const site = await HttpSite.open({ siteId })
  opened.push(site)
  return site
}

/** Site A ships to site B, which has everything. */
async function openPair(objects = 0): Promise<readonly [HttpSite, HttpSite]> {
  const [a, b] = [await openSite('site-a'), await openSite('site-b')]
  const puts = Array.from({ length: objects }, (_, i) => a.store.put('box', `key-${i}`, `is ${i}`))
  await Promise.all(puts)
  await a.connectTo({ url: b.url })
  await settled(a)
  return [a, b]
}

const settled = (site: HttpSite): Promise<void> =>
  eventually(() => site.ledger.counters().pending === 0, 'nothing is pending')

/** Writes that the ledger takes for arrived, and that never were sent. */
async function unnoticed(site: HttpSite, write: () => Promise<unknown>): Promise<void> {
  await site.stop()
  await write()
  const places = await site.ledger.take(1000)
  await site.ledger.settle(places.map((place) => ({ place, result: 'replicated' as const })))
  await site.restart()
}

const diskOf = (site: HttpSite): string => join(site.store.folder, 'volume')

const found = (report: VerifyReport): readonly string[] =>
  report.listed.map(({ kind, what, slot }: Difference) =>
    [kind, what, slot.bucket, 'key' in slot ? slot.key : ''].join(' ').trim(),
  )

/** Counts the cursors of all indexes. */
function watchCursors(): { open: number; opened: number } {
  const cursors = { open: 0, opened: 0 }
  const { iterate } = LevelIndex.prototype
  vi.spyOn(LevelIndex.prototype, 'iterate').mockImplementation(function (this: LevelIndex, range) {
    const cursor = iterate.call(this, range)
    const close = cursor.close.bind(cursor)
    cursors.open++
    cursors.opened++
    cursor.close = async () => {
      await close()
      cursors.open--
    }
    return cursor
  })
  return cursors
}

function expectBalanced(site: HttpSite): void {
  const { queued, replicated, failed, superseded, pending } = site.ledger.counters()
  expect(queued).toBe(replicated + failed + superseded + pending)
}

describe('two sites that are compared', () => {
  test('are equal up to a seq and a time when both hold the same', async () => {
    const [a] = await openPair(2500)
    await a.store.engine.deleteObject({ bucket: 'box', key: 'key-7' })
    await a.store.put('purged', 'x', 'x')
    await a.store.engine.purgeBucket('purged')
    await settled(a)
    const report = await a.verify()
    expect(report).toMatchObject({
      verdict: 'equal',
      reason: undefined,
      differences: 0,
      waiting: 0,
    })
    expect(report.upTo).toBe(a.store.engine.feed.head())
    expect(report.compared).toBe(2499)
    expect(report.bytesExchanged).toBeLessThan(4000)
    expect(report.finishedAt).toBeGreaterThanOrEqual(report.startedAt)
  })

  test('differ by kind: missing here or there, newer here or there, and another content', async () => {
    const [a, b] = await openPair(3000)
    await b.store.put('box', 'only-b', 'b')
    await b.store.put('box', 'key-3', 'newer at b')
    await b.store.engine.deleteObject({ bucket: 'box', key: 'key-4' })
    await b.store.put('new-at-b', 'x', 'x')
    await unnoticed(a, async () => {
      await a.store.put('box', 'only-a', 'a')
      await a.store.put('box', 'key-5', 'newer at a')
      const { version } = await a.store.put('box', 'split', 'one')
      const body = Buffer.from('other')
      const forged = putOf('split', body, version)
      const change = { mutation: forged, body: { kind: 'inline' as const, bytes: body } }
      const [outcome] = await b.store.engine.apply([change], undefined)
      expect(outcome).toEqual({ result: 'applied' })
    })
    const report = await a.verify()
    expect(report).toMatchObject({ verdict: 'different', differences: 8, waiting: 0 })
    expect([...found(report)].sort()).toEqual([
      'differs object box split',
      'missing-here bucket new-at-b',
      'missing-here object box only-b',
      'missing-here object new-at-b x',
      'missing-there object box only-a',
      'newer-here object box key-5',
      'newer-there deletion box key-4',
      'newer-there object box key-3',
    ])
    expect(report.kinds).toEqual({
      differs: 1,
      'missing-here': 3,
      'missing-there': 1,
      'newer-here': 1,
      'newer-there': 2,
    })
    const onlyNew = await a.verify({ bucket: 'new-at-b' })
    expect(onlyNew.differences).toBe(2)
  })

  test('are not said to be equal for the sake of one bucket, nor of one that there is not', async () => {
    const [a, b] = await openPair(3)
    await b.store.put('other', 'key', 'only at b')
    expect(await a.verify({ bucket: 'box' })).toMatchObject({ verdict: 'equal', compared: 3 })
    expect(a.lastVerified()).toBeUndefined()
    expect(await a.verify({ bucket: 'bocks' })).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringContaining('neither site knows of a bucket bocks'),
    })
    expect(await a.verify()).toMatchObject({ verdict: 'different' })
    await a.verify({ bucket: 'box' })
    expect(a.lastVerified()).toMatchObject({ verdict: 'different', differences: 2 })
    await a.verify({ repair: true })
    expect(a.lastVerified()).toMatchObject({ verdict: 'equal' })
    await b.store.put('other', 'second', 'only at b')
    await a.verify({ bucket: 'other' })
    expect(a.lastVerified()).toMatchObject({ verdict: 'different', differences: 1 })
  })

  test('keep no cursor of their index open while the other one takes its time to answer', async () => {
    const [a, b] = await openPair(3000)
    await b.store.put('box', 'key-3', 'newer at b')
    const cursors = watchCursors()
    const { answer } = Responder.prototype
    const slow = vi.spyOn(Responder.prototype, 'answer')
    slow.mockImplementation(async function (this: Responder, ...question) {
      // It answers once what was begun beside the question is over: a cursor that waits for it never is.
      await vi.waitFor(() => expect(cursors.open).toBe(0), 20_000)
      return await answer.apply(this, question)
    })
    const report = await a.verify({ deep: true })
    expect(slow.mock.calls.length).toBeGreaterThan(5)
    expect(cursors.opened).toBeGreaterThan(5)
    expect([report.verdict, report.reason]).toEqual(['different', undefined])
    expect(found(report)).toEqual(['newer-there object box key-3'])
  })

  test('are repaired from both sides, large objects and deletions included', async () => {
    const [a, b] = await openPair(100)
    const large = Buffer.alloc(9 * 2 ** 20, 'large')
    await b.store.put('box', 'large', large)
    await b.store.put('box', 'small', 'small')
    await b.store.put('box', 'key-3', 'newer at b')
    await b.store.engine.deleteObject({ bucket: 'box', key: 'key-4' })
    await unnoticed(a, async () => {
      await a.store.put('box', 'only-a', 'a')
      await a.store.engine.deleteObject({ bucket: 'box', key: 'key-6' })
      await a.store.put('purged', 'x', 'x')
      await a.store.engine.purgeBucket('purged')
    })
    const report = await a.verify({ repair: true })
    expect(report).toMatchObject({ verdict: 'equal', differences: 0, repairProblem: undefined })
    expect(report.repaired).toBe(8)
    expect((await a.store.get('box', 'large'))?.equals(large)).toBe(true)
    expect(String(await a.store.get('box', 'key-3'))).toBe('newer at b')
    expect(await a.store.get('box', 'key-4')).toBeUndefined()
    expect(String(await b.store.get('box', 'only-a'))).toBe('a')
    expect(await b.store.get('box', 'key-6')).toBeUndefined()
    expect(await a.verify()).toMatchObject({ verdict: 'equal', repaired: 0 })
    expectBalanced(a)
  })

  test('are equal where one has purged what the other still keeps traces of', async () => {
    const [a, b] = await openPair(0)
    await a.store.put('box', 'x', 'x')
    await a.store.engine.deleteObject({ bucket: 'box', key: 'x' })
    await a.store.put('box', 'y', 'y')
    await settled(a)
    await unnoticed(a, () => a.store.engine.purgeBucket('box'))
    const report = await a.verify()
    expect(found(report)).toEqual(['missing-there purge box'])
    expect(await a.verify({ repair: true })).toMatchObject({ verdict: 'equal', repaired: 1 })
    expect(await b.store.keys('box')).toEqual([])
  })

  test('are equal while both are being written', async () => {
    const [a, b] = await openPair(4000)
    await b.connectTo({ url: a.url })
    let writing = true
    const write = async (site: HttpSite): Promise<void> => {
      for (let i = 0; writing; i = (i + 37) % 4000) await site.store.put('box', `key-${i}`, `${i}`)
    }
    const writers = Promise.all([write(a), write(b)])
    try {
      for (let round = 0; round < 3; round++) {
        expect(await a.verify()).toMatchObject({ verdict: 'equal', differences: 0 })
        expect(await b.verify()).toMatchObject({ verdict: 'equal', differences: 0 })
      }
    } finally {
      writing = false
      await writers
    }
  })

  test('are looked at once more in one question, wherever they seemed to differ', async () => {
    const [a] = await openPair(3000)
    const ranges: number[] = []
    const { answer } = Responder.prototype
    vi.spyOn(Responder.prototype, 'answer').mockImplementation(async function (
      this: Responder,
      ...question
    ) {
      const answered = await answer.apply(this, question)
      const query = parseDigestQuery(question[1])
      if (query.ask !== 'digests') return answered
      ranges.push(query.ranges.length)
      if (ranges.length > 1) return answered
      // As if every one of them had been written at one site already.
      return Buffer.from(answered.toString().replaceAll('"digest":"', '"digest":"0000'))
    })
    const report = await a.verify()
    expect(report.verdict).toBe('equal')
    expect(ranges).toEqual([3, 3])
  })

  test('are neither equal nor different while the remote cannot be asked', async () => {
    const [a, b] = await openPair(10)
    await b.stop()
    const report = await a.verify()
    expect(report.verdict).toBe('unknown')
    expect(report.reason).toContain('cannot reach')
  })

  test('are neither either when the comparison is stopped, for which the remote is not to blame', async () => {
    const [a] = await openPair(10)
    const report = await a.verify({}, { stopped: true })
    expect(report).toMatchObject({ verdict: 'unknown', reason: 'the comparison was stopped' })
  })

  test('are told apart by their bytes too, when that is asked for', async () => {
    const [a, b] = await openPair(3)
    await a.store.put('box', 'hit', Buffer.alloc(100_000, 'bytes to hit'))
    await settled(a)
    expect(await a.verify({ deep: true })).toMatchObject({ verdict: 'equal', objectsRead: 4 })
    await spoil(diskOf(b), Buffer.alloc(1000, 'bytes to hit'))
    expect(await a.verify()).toMatchObject({ verdict: 'equal' })
    const report = await a.verify({ deep: true })
    expect(report).toMatchObject({ verdict: 'different', differences: 1 })
    expect(found(report)).toEqual(['corrupt-there object box hit'])
  })

  test('have damaged bytes replaced by those of the other, on either side', async () => {
    const [a, b] = await openPair(3)
    const bodies = new Map(
      ['small-a', 'small-b', 'large-a', 'large-b'].map((key) => {
        const bytes = key.startsWith('large') ? 3 * 2 ** 20 : 100_000
        return [key, Buffer.alloc(bytes, `bytes of ${key} `)]
      }),
    )
    for (const [key, body] of bodies) await a.store.put('box', key, body)
    await settled(a)
    for (const [key, body] of bodies) {
      await spoil(diskOf(key.endsWith('a') ? a : b), body.subarray(0, 10_000))
    }
    const before = a.store.engine.feed.head()
    const report = await a.verify({ deep: true, repair: true })
    expect(report).toMatchObject({
      verdict: 'equal',
      differences: 0,
      repaired: 4,
      repairProblem: undefined,
    })
    for (const [key, body] of bodies) {
      for (const site of [a, b]) {
        expect((await site.store.get('box', key))?.equals(body)).toBe(true)
      }
    }
    expect(a.store.engine.feed.head()).toBe(before)
    expect(await a.verify({ deep: true })).toMatchObject({ verdict: 'equal', repaired: 0 })
    expectBalanced(a)
  })

  test('have an object mended that is damaged at both, in different places', async () => {
    const [a, b] = await openPair(1)
    const body = Buffer.from(seededRandom(3).bytes(3 * 2 ** 20))
    await a.store.put('box', 'hit', body)
    await settled(a)
    const spoilAt = (site: HttpSite, at: number) =>
      spoil(diskOf(site), body.subarray(at, at + 1000))
    for (const at of [80_000, 2_500_000]) await spoilAt(a, at)
    for (const at of [10_000, 300_000, 1_500_000]) await spoilAt(b, at)
    const report = await a.verify({ deep: true, repair: true })
    expect(report).toMatchObject({ verdict: 'equal', repaired: 2, repairProblem: undefined })
    for (const site of [a, b]) {
      expect((await site.store.get('box', 'hit'))?.equals(body)).toBe(true)
    }
  })

  test('keep what is damaged at both, or has one version and two contents, and say so', async () => {
    const [a, b] = await openPair(1)
    const body = Buffer.alloc(100_000, 'bytes to hit')
    await a.store.put('box', 'hit', body)
    await settled(a)
    for (const site of [a, b]) await spoil(diskOf(site), body.subarray(0, 1000))
    const report = await a.verify({ deep: true, repair: true })
    expect(report).toMatchObject({ verdict: 'different', differences: 2, repaired: 0 })
    expect(report.repairProblem).toContain('damaged at both sites')
    await unnoticed(a, async () => {
      const { version } = await a.store.put('box', 'hit', 'one')
      const other = Buffer.from('other')
      const change = {
        mutation: putOf('hit', other, version),
        body: { kind: 'inline' as const, bytes: other },
      }
      await b.store.engine.apply([change], undefined)
    })
    const split = await a.verify({ deep: true, repair: true })
    expect(found(split)).toEqual(['differs object box hit'])
    expect(split).toMatchObject({ verdict: 'different', repaired: 0 })
    expect(split.repairProblem).toContain('write those objects once more')
    expect(String(await a.store.get('box', 'hit'))).toBe('one')
    expect(String(await b.store.get('box', 'hit'))).toBe('other')
  })

  test('say why deletions from before the link are left when the rest is repaired', async () => {
    const [a, b] = [await openSite('site-a'), await openSite('site-b')]
    await b.store.put('box', 'gone', 'at b')
    await b.store.put('box', 'only-b', 'at b')
    await a.store.put('box', 'gone', 'at a')
    await a.store.engine.deleteObject({ bucket: 'box', key: 'gone' })
    await a.connectTo({ url: b.url })
    await settled(a)
    const report = await a.verify({ repair: true })
    expect(found(report)).toEqual(['newer-here deletion box gone'])
    expect(report.repairProblem).toContain('made before this remote was linked')
    expect(await a.verify()).toMatchObject({ differences: 1, repairProblem: undefined })
  })

  test('say why objects are left that were purged here before the link', async () => {
    const [a, b] = [await openSite('site-a'), await openSite('site-b')]
    await b.store.put('box', 'old', 'at b')
    await a.store.put('box', 'old', 'at a')
    await a.store.engine.purgeBucket('box')
    await b.store.put('box', 'new', 'after the purge')
    await a.connectTo({ url: b.url })
    await settled(a)
    const report = await a.verify({ repair: true })
    expect(found(report)).toEqual(['missing-here object box old'])
    expect(report).toMatchObject({ verdict: 'different', repaired: 1 })
    expect(report.repairProblem).toContain('were purged here before this remote was linked')
  })
})

describe('a question of a comparison', () => {
  test('names no more than its bound', () => {
    const range = { table: 'objects', bucket: 'box', after: '', until: '' }
    const ask = (count: number): string =>
      JSON.stringify({ volumeId: 'v', ask: 'digests', ranges: Array(count).fill(range) })
    expect(parseDigestQuery(ask(verifyLimits.ranges)).ask).toBe('digests')
    expect(() => parseDigestQuery(ask(verifyLimits.ranges + 1))).toThrow('at most')
  })

  test.each([
    ['{}'],
    ['{"volumeId":"v","ask":"everything"}'],
    ['{"volumeId":"v","ask":"digests","ranges":[{"table":"x"}]}'],
    ['{"volumeId":"v","ask":"list","range":null,"limit":1}'],
    ['{"volumeId":"v","ask":"look","slots":[{"kind":"object","bucket":"b"}]}'],
    ['{"volumeId":"v","ask":"look","slots":[{"kind":"other","bucket":"b"}]}'],
    [
      '{"volumeId":"v","ask":"list","limit":1,"range":{"table":"objects","bucket":"b","after":"","until":"","floor":"x"}}',
    ],
  ])('that makes no sense is refused: %s', (text) => {
    expect(() => parseDigestQuery(text)).toThrow()
  })
})
