/** What memory an object takes on its way through two sites. Linux only: it reads /proc. */
import { createHash, type Hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { digestOf, piecesOf } from './content.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import type { SiteProcess, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

const mib = 2 ** 20
const aboveIdleMax = 300 * mib

/**
 * Uploads an object of `bytes`, waits for it at the other site, downloads it there, all with the
 * peak of resident memory below the bound, and prints the peaks.
 */
export async function expectBoundedMemory(bed: TestBed, bytes: number): Promise<void> {
  const b = await bed.site('b', accepting).start()
  const a = await bed.site('a', shippingTo(b.url)).start()
  await a.put('/large/first', 'so that all that is needed is loaded')
  await a.shipped()
  const idle = await Promise.all([residentNow(a), residentNow(b)])

  const headers = { 'content-length': String(bytes) }
  const sent = createHash('sha256')
  const body = through(sent, piecesOf(9, bytes))
  const put = await a.send('PUT', '/large/object', { headers, body })
  expect(put.status).toBe(200)
  const digest = sent.digest('hex')
  await until('B has the object', async () => {
    const { pending } = await a.status()
    // A does not learn how far a pull has come: what B holds tells that it moves.
    return pending === 0 ? true : new NotYet(await usedBytes(b))
  })
  for (const site of [b, a]) {
    const got = await site.open('GET', '/large/object')
    expect(Number(got.headers['content-length'])).toBe(bytes)
    expect(await digestOf(got.body)).toBe(digest)
  }

  const peaks = await Promise.all([residentAtMost(a), residentAtMost(b)])
  const above = peaks.map((peak, i) => peak - (idle[i] ?? 0))
  const shown = above.map((more) => `${Math.round(more / mib)} MiB`)
  process.stderr.write(`${bytes / mib} MiB took A ${shown[0]} and B ${shown[1]} above idle\n`)
  for (const more of above) expect(more).toBeLessThan(aboveIdleMax)
}

/** Hashed on the way: all at once would keep this process from its connections for too long. */
function* through(hash: Hash, pieces: Iterable<Buffer>): Generator<Buffer, void> {
  for (const piece of pieces) {
    hash.update(piece)
    yield piece
  }
}

async function usedBytes(site: SiteProcess): Promise<string> {
  const metrics = await site.send('GET', '/admin/metrics')
  return /^comio_volume_used_bytes .*$/m.exec(metrics.body.toString())?.[0] ?? 'no such metric'
}

const residentNow = (site: SiteProcess): Promise<number> => memoryField(site, 'VmRSS')

/** The highest since the process began, as the system has kept it. */
const residentAtMost = (site: SiteProcess): Promise<number> => memoryField(site, 'VmHWM')

async function memoryField(site: SiteProcess, name: string): Promise<number> {
  const status = await readFile(`/proc/${site.pid}/status`, 'utf8')
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
  if (kib === undefined) throw new Error(`/proc/${site.pid}/status has no ${name}`)
  return Number(kib) * 1024
}
