import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import { inParallel } from './parallel.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { type SiteProcess, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

const mib = 2 ** 20

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

/** Writes objects of 512 KiB until one is refused; the answer to that one, and how many were taken. */
async function fill(
  site: SiteProcess,
): Promise<{ readonly taken: number; readonly refusal: string }> {
  for (let i = 0; i < 1000; i++) {
    const answer = await site.send('PUT', `/full/${i}`, { body: bytesOf(i, mib / 2) })
    if (answer.status === 200) continue
    expect(answer.status).toBe(507)
    return { taken: i, refusal: answer.body.toString() }
  }
  throw new Error('the site takes more than it has room for')
}

async function expectReadable(site: SiteProcess, count: number): Promise<void> {
  await inParallel(8, count, async (i) => {
    const answer = await site.send('GET', `/full/${i}`)
    expect(answer.body.equals(bytesOf(i, mib / 2)), `object ${i}`).toBe(true)
  })
}

async function remove(site: SiteProcess, count: number): Promise<void> {
  await inParallel(8, count, async (i) => {
    expect((await site.send('DELETE', `/full/${i}`)).status).toBe(204)
  })
}

function* brokenOff(bytes: Buffer): Generator<Buffer, void> {
  yield bytes
  throw new Error('the client gives up')
}

describe('a full site', () => {
  test('answers 507, goes on reading and deleting, and writes again when space is free', async () => {
    const site = await bed.site('a', { args: ['--size', '64MiB'] }).start()
    const { taken, refusal } = await fill(site)
    expect(taken).toBeGreaterThan(80)
    expect(refusal).toMatch(/<Code>(InsufficientStorage|ServiceUnavailable|StorageFull)<\/Code>/)
    // Small ones are refused as well, sooner or later, and never anything but refused.
    for (let i = 0; i < 50; i++) {
      const { status } = await site.send('PUT', `/full/small-${i}`, { body: bytesOf(i, 100_000) })
      expect([200, 507]).toContain(status)
    }
    const large = await site.send('PUT', '/full/large', {
      headers: { 'content-length': String(32 * mib) },
      body: [bytesOf(1, 32 * mib)],
    })
    expect(large.status).toBe(507)
    await expectReadable(site, taken)
    expect((await site.send('GET', '/admin/health')).status).toBe(200)

    await site.kill()
    await site.start()
    await expectReadable(site, taken)
    await remove(site, taken)
    const again = await fill(site)
    expect(again.taken).toBeGreaterThan(taken / 2)
    await expectReadable(site, again.taken)
  })

  test('of small objects takes every delete, through kills, and has all its room again', async () => {
    const site = await bed.site('a', { args: ['--size', '6MiB'] }).start()
    const keys: string[] = []
    for (let i = 0; ; i++) {
      const { status } = await site.send('PUT', `/small/${i}`, { body: bytesOf(i, 3000) })
      if (status === 507) break
      expect(status).toBe(200)
      keys.push(`/small/${i}`)
    }
    expect(keys.length).toBeGreaterThan(500)
    // In an order that leaves something alive in every segment until the end.
    const mixed = keys.map((key, i) => ({ key, order: (i * 7919) % 1009 }))
    mixed.sort((a, b) => a.order - b.order)
    for (const [at, { key }] of mixed.entries()) {
      if (at === 300 || at === 600) {
        await site.kill()
        await site.start()
      }
      expect((await site.send('DELETE', key)).status, `${at} of ${mixed.length}`).toBe(204)
    }
    for (let i = 0; i < keys.length / 4; i++) {
      await until(`there is room for object ${i}`, async () => {
        const { status } = await site.send('PUT', `/small/${i}`, { body: bytesOf(i, 3000) })
        return status === 200 ? true : new NotYet(status)
      })
    }
    expect((await site.send('GET', '/admin/health')).status).toBe(200)
  })

  test('that was filled by uploads which broke off has its room again', async () => {
    const site = await bed.site('a', { args: ['--size', '64MiB'] }).start()
    const body = bytesOf(1, 12 * mib)
    for (let i = 0; i < 8; i++) {
      // Less than announced: the client goes when the rest fails to come.
      const headers = { 'content-length': String(2 * body.length) }
      await expect(
        site.send('PUT', '/docs/cut', { headers, body: brokenOff(body) }),
      ).rejects.toThrow()
    }
    await until('there is room', async () => {
      const { status } = await site.send('PUT', '/docs/whole', { body: bytesOf(2, 30 * mib) })
      return status === 200 ? true : new NotYet(status)
    })
  })

  test('as a remote is shown as the reason, and gets everything once it has room', async () => {
    const b = await bed.site('b', { ...accepting, args: ['--size', '64MiB'] }).start()
    const a = await bed.site('a', shippingTo(b.url)).start()
    const { taken } = await fill(b)
    await inParallel(4, 40, (i) => a.put(`/docs/${i}`, bytesOf(i, mib / 2)))
    await a.put('/docs/large', bytesOf(1, 5 * mib))
    const full = await a.statusWhen('B refuses for lack of space', ({ remotes }) =>
      remotes.some(({ state, last_error }) => state === 'full' && /full/.test(last_error ?? '')),
    )
    expect(full.pending).toBeGreaterThan(0)
    expect(full.events_failed).toBe(0)
    await expectReadable(b, taken)
    await remove(b, taken)
    const done = await a.shipped()
    expect(done.events_failed).toBe(0)
    await expectEqualBuckets([a, b], 'docs', 1)
  })
})
