/** A mistake at one site that is not to become one at the other. */
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { HealthDocument } from '../../src/admin/protocol.ts'
import { acceptedToken, accepting } from './pair-settings.ts'
import { runComio } from './run-program.ts'
import { expectEqualBuckets, listBucket } from './site-contents.ts'
import { type SiteProcess, TestBed } from './site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
  await writeFile(bed.path('token'), acceptedToken)
})

afterEach(() => bed.remove())

async function repl(site: SiteProcess, ...args: readonly string[]): Promise<string> {
  const ended = await runComio(['repl', ...args, '--url', site.url])
  expect(ended.stderr).toBe('')
  expect(ended.code).toBe(0)
  return ended.stdout
}

const keysOf = async (site: SiteProcess, bucket: string): Promise<readonly string[]> =>
  (await listBucket(site, bucket)).map(({ key }) => key)

/** And all that is not held has arrived. */
const heldIs = (site: SiteProcess, deletes: number) =>
  site.statusWhen(
    `${deletes} deletes are held`,
    ({ pending, remotes }) => remotes[0]?.held_deletes === deletes && pending === deletes,
  )

async function healthOf(site: SiteProcess): Promise<HealthDocument> {
  return JSON.parse((await site.send('GET', '/admin/health')).body.toString())
}

test('a mass delete is held, shown, still held after a kill, and released, while puts flow', async () => {
  const [a, b] = [await bed.site('a').start(), await bed.site('b', accepting).start()]
  const add = ['remote', 'add', 'b', b.url, '--remote-token-file', bed.path('token')]
  await repl(a, ...add, '--max-delete-count', '2')
  const { remotes } = JSON.parse(
    (await a.send('GET', '/admin/replication/remotes')).body.toString(),
  )
  expect(remotes).toMatchObject([{ settings: { max_delete_count: '2' } }])
  const keys = ['0', '1', '2', '3', '4', '5']
  for (const key of keys) await a.put(`/docs/${key}`, key)
  await a.shipped()
  for (const key of keys.slice(0, 5)) await a.send('DELETE', `/docs/${key}`)
  await heldIs(a, 3)
  expect(await keysOf(b, 'docs')).toEqual(['2', '3', '4', '5'])
  const shown = await repl(a, 'status')
  expect(shown).toContain('3 deletes of 3 objects: comio repl release, or discard')
  expect(await healthOf(a)).toMatchObject({
    status: 'degraded',
    reasons: [expect.stringContaining('more was deleted than the limits of remote b allow')],
  })
  await a.kill()
  await a.start()
  await heldIs(a, 3)
  await a.put('/docs/new', 'new')
  await a.statusWhen('the put has arrived', ({ pending }) => pending === 3)
  expect(await keysOf(b, 'docs')).toEqual(['2', '3', '4', '5', 'new'])
  expect(await repl(a, 'release', 'b')).toContain('released: 3 deletes of 3 objects')
  await a.shipped()
  await expectEqualBuckets([a, b], 'docs', 2)
  expect((await healthOf(a)).reasons).toEqual([])
  await expectPurgeWaits(a, b)
})

/** The same pair goes on with a delay: a purge by mistake stays away from the other site. */
async function expectPurgeWaits(a: SiteProcess, b: SiteProcess): Promise<void> {
  await repl(a, 'remote', 'set', 'b', '--apply-delay', '1h', '--max-delete-count', 'off')
  await a.put('/docs/young', 'young')
  await a.send('DELETE', '/admin/docs/objects?confirm=true')
  await a.statusWhen('the purge alone waits', ({ pending, remotes }) => {
    return pending === 1 && remotes[0]?.delayed_events === 1
  })
  expect(await repl(a, 'status')).toMatch(/delayed.*1 change, the oldest goes at/)
  expect(await keysOf(b, 'docs')).toEqual(['5', 'new'])
  expect(await repl(a, 'discard', 'b')).toContain('discarded: 1 delete of 3 objects')
  await repl(a, 'remote', 'set', 'b', '--apply-delay', '0s')
  await a.shipped()
  expect(await keysOf(a, 'docs')).toEqual([])
  expect(await keysOf(b, 'docs')).toEqual(['5', 'new'])
  const verified = await runComio(['repl', 'verify', '--url', a.url])
  expect(verified.stdout).toMatch(/missing there\s+purge\s+docs/)
}
