/** Faults between and at two sites that both take writes; `npm run test:faults` is the long form. */
import { cp, rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runFaults } from '../faults/fault-run.ts'
import { FaultyPair } from '../faults/faulty-pair.ts'
import { inParallel } from './parallel.ts'
import { listBucket } from './site-contents.ts'
import { type SiteProcess, TestBed } from './site-process.ts'

let bed: TestBed

beforeAll(async () => {
  bed = await TestBed.make()
})

afterAll(() => bed.remove())

test('two sites that are killed under load, over a network that does its worst, lose nothing and end equal', async () => {
  const runBed = await TestBed.make()
  try {
    const summary = await runFaults(runBed, {
      seed: 4,
      kills: 4,
      killsBetweenLooks: 4,
      afterHalfOpen: 'reset',
    })
    expect(summary.writes).toBeGreaterThan(0)
    for (const what of ['resets', 'replayed', 'conflicts'] as const) {
      expect(summary[what], what).toBeGreaterThan(0)
    }
  } finally {
    await runBed.remove()
  }
})

describe('two sites', () => {
  let pair: FaultyPair
  let a: SiteProcess
  let b: SiteProcess

  beforeAll(async () => {
    pair = await FaultyPair.start(bed)
    ;[a, b] = pair.sites
  })

  afterAll(() => pair.close())

  test('written at once with the same keys find the same winners, and list every loser', async () => {
    const keys = Array.from({ length: 24 }, (_, i) => `key-${i}`)
    for (const key of keys) await a.put(`/both/${key}`, 'before')
    await pair.rest()
    for (const proxy of pair.proxies) proxy.weather = { kind: 'cut' }
    await inParallel(8, keys.length, async (i) => {
      const path = `/both/${keys[i]}`
      const atA = async (): Promise<void> => {
        if (i % 4 === 0) await a.send('DELETE', path)
        else await a.put(path, `of a ${i}`)
      }
      const atB = async (): Promise<void> => {
        if (i % 4 === 1) await b.send('DELETE', path)
        else await b.put(path, `of b ${i}`)
      }
      // Either may be the later one.
      for (const write of i % 3 === 0 ? [atA, atB] : [atB, atA]) await write()
    })
    await pair.rest()
    await pair.expectEqual()
    const present = new Set((await listBucket(a, 'both')).map(({ key }) => key))
    const conflicts = await pair.conflicts()
    for (const [i, key] of keys.entries()) {
      const sites = conflicts.filter((one) => one.key === key).map((one) => one.loser.site)
      const { status, body } = await a.send('GET', `/both/${key}`)
      const winner = status === 404 ? (i % 4 === 0 ? 'a' : 'b') : body.toString().slice(3, 4)
      expect(present.has(key)).toBe(status === 200)
      expect(new Set(sites), key).toEqual(new Set([await siteId(winner === 'a' ? b : a)]))
    }
  })

  test('one of which is set back to an old copy of its folder lose nothing of the other, and bring back nothing deleted', async () => {
    const copy = bed.path('copy')
    await inParallel(8, 40, (i) => (i % 2 === 0 ? a : b).put(`/docs/early-${i}`, `early ${i}`))
    await pair.rest()
    await b.stop()
    await cp(b.storage, copy, { recursive: true })
    await pair.startSite(1)
    await inParallel(8, 40, (i) => (i % 2 === 0 ? a : b).put(`/docs/late-${i}`, `late ${i}`))
    await inParallel(8, 10, async (i) => {
      await (i % 2 === 0 ? b : a).send('DELETE', `/docs/early-${i}`)
    })
    await pair.rest()
    await b.kill()
    await a.put('/docs/meanwhile', 'meanwhile')
    await rm(b.storage, { recursive: true })
    await cp(copy, b.storage, { recursive: true })
    await pair.startSite(1)
    await b.put('/docs/after', 'after')
    await pair.rest()
    await pair.expectEqual()
    const keys = (await listBucket(b, 'docs')).map(({ key }) => key)
    expect(keys).toHaveLength(72)
    expect(keys.filter((key) => /^early-\d$/.test(key))).toEqual([])
    expect(await a.log()).toContain('Sending everything to the remote again')
  })
})

async function siteId(site: SiteProcess): Promise<string> {
  return (await site.status()).site_id
}
