/** What an operator does: purge, replay, and the care of dead letters. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FailedDocument } from '../../src/admin/protocol.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { refusingChangesOf } from '../faults/refused-changes.ts'
import { bytesOf } from './content.ts'
import { accepting, acceptingWith, shippingTo } from './pair-settings.ts'
import { inParallel } from './parallel.ts'
import { runComio } from './run-program.ts'
import { expectEqualBuckets, listBucket } from './site-contents.ts'
import { type SiteProcess, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

async function replay(site: SiteProcess, ...flags: readonly string[]): Promise<unknown> {
  const ended = await runComio(['repl', 'replay', '--json', '--url', site.url, ...flags])
  expect(ended.stderr).toBe('')
  return JSON.parse(ended.stdout)
}

describe('a purge', () => {
  test('is previewed exactly, removes only what was there, and reaches the other site', async () => {
    const b = await bed.site('b', accepting).start()
    const a = await bed.site('a', shippingTo(b.url)).start()
    await inParallel(16, 300, (i) => a.put(`/trash/${i}`, bytesOf(i, 1000)))
    await inParallel(16, 50, (i) => a.put(`/trash/${i}`, bytesOf(i, 2000)))
    await a.send('DELETE', '/trash/299')
    await a.put('/kept/one', 'one')
    await a.shipped()
    for (const site of [a, b]) {
      const preview = await site.json('DELETE', '/admin/trash/objects')
      expect(preview).toEqual({ count: 299, total_size: 249 * 1000 + 50 * 2000 })
    }
    expect(await a.json('DELETE', '/admin/trash/objects?confirm=true')).toEqual({
      deleted_count: 299,
      freed_size: 349_000,
    })
    await a.put('/trash/after', 'after')
    await a.shipped()
    const left = await expectEqualBuckets([a, b], 'trash', 1)
    expect(left.map(({ key }) => key)).toEqual(['after'])
    await expectEqualBuckets([a, b], 'kept', 1)
    expect(await b.json('DELETE', '/admin/trash/objects')).toEqual({ count: 1, total_size: 5 })
  })
})

describe('comio repl replay', () => {
  test('--all counts with --dry-run, and sends everything again without it', async () => {
    const b = await bed.site('b', accepting).start()
    const a = await bed.site('a', shippingTo(b.url)).start()
    await inParallel(16, 100, (i) => a.put(`/docs/${i}`, bytesOf(i, 1000)))
    const before = await a.shipped()
    const all = { count: 101, bytes: 100_000, through: before.remotes[0]?.head }
    expect(await replay(a, '--all', '--dry-run')).toEqual(all)
    expect((await a.status()).events_queued).toBe(before.events_queued)
    expect(await replay(a, '--all')).toEqual(all)
    const after = await a.shipped()
    expect(after.events_queued).toBe(before.events_queued + 101)
    expect(after.events_replicated).toBe(before.events_replicated + 101)
    expect(after.remotes[0]?.head).toBe(before.remotes[0]?.head)
    await expectEqualBuckets([a, b], 'docs', 10)
  })

  test('--bucket --prefix --wait sends just that, with a bar, and ends when it is acknowledged', async () => {
    const b = await bed.site('b', accepting).start()
    const a = await bed.site('a', shippingTo(b.url)).start()
    await inParallel(16, 60, (i) =>
      a.put(`/docs/${i % 2 === 0 ? 'even' : 'odd'}/${i}`, bytesOf(i, 100)),
    )
    await a.put('/other/one', 'one')
    const before = await a.shipped()
    const flags = ['--bucket', 'docs', '--prefix', 'even/', '--wait', '--url', a.url]
    const ended = await runComio(['repl', 'replay', ...flags])
    expect(ended.stdout).toMatch(/^30 changes, .*, sent again; all of it is acknowledged\n$/)
    const after = await a.status()
    expect(after).toMatchObject({ pending: 0, events_queued: before.events_queued + 30 })
    expect(await replay(a, '--since', '1h', '--dry-run')).toMatchObject({ count: 63 })
    expect(await replay(a, '--since', '2100-01-01', '--dry-run')).toMatchObject({ count: 0 })
    const { body } = await a.send('GET', '/admin/metrics')
    expect(body.toString()).toContain(
      'comio_replication_events_total{remote="default",kind="put",result="duplicate"} 30',
    )
  })
})

describe('a change that the remote refuses for its own sake', () => {
  test('is logged, listed and counted, keeps nothing back, and arrives once it is replayed', async () => {
    const b = await bed.site('b', accepting).start()
    const proxy = await FaultProxy.listen(b.url)
    proxy.answerWith(refusingChangesOf('poison key', b.url))
    try {
      const a = await bed.site('a', shippingTo(proxy.url)).start()
      await inParallel(8, 40, (i) => a.put(`/docs/${i}`, bytesOf(i, 1000)))
      await a.put('/docs/poison%20key', 'poison')
      await inParallel(8, 40, (i) => a.put(`/docs/later-${i}`, bytesOf(i, 1000)))
      const failed = await a.shipped()
      expect(failed).toMatchObject({ events_failed: 1, events_replicated: 81, pending: 0 })
      expect(await listBucket(b, 'docs')).toHaveLength(80)
      await expectFailure(a)
      // A restart changes nothing of it.
      await a.kill()
      await a.start(shippingTo(b.url))
      await expectFailure(a)

      expect(await replay(a, '--failed', '--dry-run')).toMatchObject({ count: 1, bytes: 6 })
      expect((await a.status()).events_failed).toBe(1)
      expect(await replay(a, '--failed')).toMatchObject({ count: 1, bytes: 6 })
      const done = await a.shipped()
      expect(done.events_queued).toBe(failed.events_queued + 1)
      expect(done.events_replicated).toBe(failed.events_replicated + 1)
      expect((await b.send('GET', '/docs/poison%20key')).body.toString()).toBe('poison')
      expect(await a.json('GET', '/admin/replication/failed')).toEqual({ failed: [] })
      // The health is looked at once a second at most.
      await until('the site is well', async () => {
        const { status } = await a.json<{ status: string }>('GET', '/admin/health')
        return status === 'ok' ? true : new NotYet(status)
      })
    } finally {
      await proxy.close()
    }
  })

  test('can be looked at, and discarded for good', async () => {
    const b = await bed.site('b', accepting).start()
    const proxy = await FaultProxy.listen(b.url)
    proxy.answerWith(refusingChangesOf('poison key', b.url))
    try {
      const a = await bed.site('a', shippingTo(proxy.url)).start()
      await a.put('/docs/poison%20key', 'poison')
      await a.put('/docs/fine', 'fine')
      const failed = await a.shipped()
      const letters = await lettersOf(a)
      const seq = String(letters[0]?.seq)
      const failing = ['repl', 'failed']
      const shown = await runComio([...failing, 'show', seq, '--url', a.url])
      expect(shown.stdout).toContain('object docs/poison key')
      expect(shown.stdout).toContain('the same version, 6 B')
      expect(shown.stdout).toContain('the remote has never heard of it')
      const discarded = await runComio([...failing, 'discard', seq, '--url', a.url])
      expect(discarded.stdout).toContain('1 change, 6 B, discarded')
      await a.kill()
      await a.start(shippingTo(b.url))
      expect(await a.json('GET', '/admin/replication/failed')).toEqual({ failed: [] })
      expect(await a.shipped()).toMatchObject({
        events_failed: failed.events_failed,
        events_queued: failed.events_queued,
      })
      const missing = await runComio([...failing, 'retry', seq, '--url', a.url])
      expect(missing.code).toBe(1)
      expect(missing.stderr).toContain('NO_SUCH_DEAD_LETTER')
      // The next change of the object is sent as any other.
      await a.put('/docs/poison%20key', 'healed')
      await a.shipped()
      await expectEqualBuckets([a, b], 'docs', 1)
    } finally {
      await proxy.close()
    }
  })

  test('as too large for a receiver of smaller batches fails alone, and arrives at a larger one', async () => {
    const small = { batch_size: 1, batch_bytes: '64KiB', inline_limit: '64KiB' }
    const b = await bed.site('b', acceptingWith(small)).start()
    const a = await bed.site('a', shippingTo(b.url)).start()
    await a.put('/docs/large', bytesOf(1, 900_000))
    await inParallel(4, 20, (i) => a.put(`/docs/${i}`, bytesOf(i, 1000)))
    const failed = await a.shipped()
    expect(failed).toMatchObject({ events_failed: 1, events_replicated: 21 })
    const letters = await lettersOf(a)
    expect(letters).toMatchObject([{ key: 'large', attempts: 3, reason: /413/ }])
    await b.stop()
    await b.start(accepting)
    expect(await replay(a, '--failed')).toMatchObject({ count: 1, bytes: 900_000 })
    await a.shipped()
    await expectEqualBuckets([a, b], 'docs', 1)
  })
})

/** It counts at once, and is listed when it is durable. */
async function lettersOf(site: SiteProcess): Promise<FailedDocument['failed']> {
  return await until('a dead letter is listed', async () => {
    const { failed } = await site.json<FailedDocument>('GET', '/admin/replication/failed')
    return failed.length > 0 ? failed : new NotYet(failed)
  })
}

/** The dead letter of the poison key, in the log, the document and the list. */
async function expectFailure(site: SiteProcess): Promise<void> {
  const error = 'remote returned 400: not this one (TEST_REFUSED)'
  const logged = (await site.log())
    .split('\n')
    .filter((line) => line.includes('Failed to replicate event'))
    .map((line) => JSON.parse(line) as unknown)
  expect(logged).toHaveLength(1)
  expect(logged[0]).toMatchObject({
    level: 'error',
    component: 'replication',
    event_id: expect.stringMatching(/^\d{13}-docs-poison key$/),
    error,
  })
  const failed = await lettersOf(site)
  expect(failed).toMatchObject([{ bucket: 'docs', key: 'poison key', bytes: 6, reason: error }])
  expect((await site.status()).events_failed).toBe(1)
  const list = await runComio(['repl', 'failed', 'list', '--url', site.url])
  expect(list.stdout).toContain('poison key')
  expect(list.stdout).toContain('not this one')
  const health = await site.json<{ reasons: string[] }>('GET', '/admin/health')
  expect(health.reasons.join()).toContain('comio repl failed list')
}
