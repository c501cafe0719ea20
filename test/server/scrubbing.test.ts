/** A site that is stopped in the middle of reading, or of writing anew, what it stores. */
import { readdir, readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { runHere } from '../cli/run-comio.ts'
import { spoilAt } from '../store/spoil.ts'
import { parseMetrics } from './parse-metrics.ts'
import { type ConfigChanges, TestSite, testConfig } from './test-site.ts'

const kib = 1024
const random = seededRandom(3)
/** The first one is small, so that a slow scrub is soon past it. */
const bodies = new Map(
  Array.from({ length: 40 }, (_, i) => [
    `k${10 + i}`,
    Buffer.from(random.bytes(i === 0 ? 100 : 20 * kib)),
  ]),
)
let site: TestSite

beforeEach(async () => {
  site = await TestSite.make()
  await site.start()
  await site.send('PUT', '/box')
  await site.send('PUT', '/box/gone', { body: 'x' })
  await site.send('DELETE', '/box/gone')
  for (const [key, body] of bodies) await site.send('PUT', `/box/${key}`, { body })
})
afterEach(() => site.remove())

/** Bytes per second; with a few KiB what is under way would take minutes. */
function atRates(scrub: number, reclaim: number): ConfigChanges {
  const { storage } = testConfig(site.storage)
  return {
    storage: {
      scrub: { rate: scrub, intervalMs: 0 },
      reclaim: { ...storage.reclaim, rate: reclaim },
    },
  }
}

const status = () => site.json('GET', '/admin/volume/scrub')

/** What this process has open below the site's folder. */
async function openFiles(): Promise<string[]> {
  const handles = await readdir('/proc/self/fd')
  const paths = await Promise.all(
    handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => '')),
  )
  return paths.filter((path) => path.startsWith(site.folder))
}

async function writtenBytes(): Promise<number> {
  const { body } = await site.send('GET', '/admin/metrics')
  return parseMetrics(body.toString()).get('comio_volume_written_bytes_total') ?? 0
}

async function expectObjects(): Promise<void> {
  for (const [key, body] of bodies) {
    expect((await site.send('GET', `/box/${key}`)).body.equals(body)).toBe(true)
  }
  expect((await site.send('GET', '/box/gone')).status).toBe(404)
}

const finished = () =>
  vi.waitFor(
    async () => {
      const { running, last } = await status()
      expect(running).toBeNull()
      return last
    },
    { timeout: 60_000, interval: 20 },
  )

test('a scrub that reads when its site is stopped ends, and goes on where it was with the next start', async () => {
  await site.stop()
  await site.start(atRates(4 * kib, 0))
  await site.send('POST', '/admin/volume/scrub')
  const objects = await vi.waitFor(
    async () => {
      const { running } = await status()
      expect(running.objects).toBeGreaterThan(0)
      return running.objects
    },
    { timeout: 60_000, interval: 20 },
  )
  expect(objects).toBeLessThan(bodies.size)
  await site.stop()
  expect(await openFiles()).toEqual([])
  const kept = JSON.parse(await readFile(join(site.storage, 'scrub.json'), 'utf8'))
  expect(kept.run).toMatchObject({ place: { bucket: 'box', key: expect.stringMatching(/^k/) } })
  expect(kept.run.objects).toBeGreaterThanOrEqual(objects)

  await site.start(atRates(0, 0))
  expect(await finished()).toMatchObject({ objects: bodies.size, damaged: 0, reason: null })
  await expectObjects()
})

test('a segment that is being emptied when its site is stopped is emptied by the next start', async () => {
  await site.stop()
  // Finishes the segment: what is damaged before is not in its list.
  await site.start()
  await site.stop()
  await spoilDeletion()
  await site.start(atRates(0, kib))
  const before = await writtenBytes()
  await site.send('POST', '/admin/volume/scrub')
  await vi.waitFor(async () => expect(await writtenBytes()).toBeGreaterThan(before + 32 * kib), {
    timeout: 60_000,
    interval: 20,
  })
  expect((await status()).running).not.toBeNull()
  await site.stop()
  expect(await openFiles()).toEqual([])

  await site.start(atRates(0, 0))
  expect(await finished()).toMatchObject({ damaged: 1, healed: 1, reason: null })
  await expectObjects()
  await site.stop()
  await rm(join(site.storage, 'index'), { recursive: true })
  await site.start()
  await expectObjects()
})

async function spoilDeletion(): Promise<void> {
  const { stdout } = await runHere([
    ...['volume', 'dump', '--storage', site.storage],
    ...['--json', '--kind', 'delete'],
  ])
  const lines = stdout.split('\n').filter((line) => line.includes('"kind":"delete"'))
  await spoilAt(site.storage, JSON.parse(lines[0] ?? '{}'))
}
