/** Remotes that are added, paused, changed and removed while a site runs, as an operator does it. */
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
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

test('a remote is added to a site that runs, paused over a restart, and goes on where it was', async () => {
  const [a, b] = [await bed.site('a').start(), await bed.site('b', accepting).start()]
  await a.put('/docs/before', 'before')
  const tokenFile = ['--remote-token-file', bed.path('token')]
  // The first address is nobody's.
  const added = await repl(a, 'remote', 'add', 'b', 'http://127.0.0.1:9', b.url, ...tokenFile)
  expect(added).toContain(`remote b is added: http://127.0.0.1:9, ${b.url}`)
  await a.shipped()
  expect(await repl(a, 'pause', 'b')).toContain('until comio repl resume b')
  await a.put('/docs/meanwhile', 'meanwhile')
  await a.kill()
  await a.start()
  expect((await a.status()).remotes).toMatchObject([{ name: 'b', state: 'paused' }])
  expect(await keysOf(b, 'docs')).toEqual(['before'])
  expect(await repl(a, 'resume', 'b')).toContain('is resumed')
  await a.shipped()
  await expectEqualBuckets([a, b], 'docs', 1)
  expect(await repl(a, 'remote', 'list')).toContain(b.url.slice(0, 20))
  expect((await a.log()).includes(acceptedToken)).toBe(false)
})

test('a remote that does not take the token says so when it is added, and gets all once it has the right one', async () => {
  const [a, b] = [await bed.site('a').start(), await bed.site('b', accepting).start()]
  await a.put('/docs/kept', 'kept')
  await writeFile(bed.path('wrong'), `${acceptedToken}x`)
  const wrong = await repl(a, 'remote', 'add', 'b', b.url, '--remote-token-file', bed.path('wrong'))
  expect(wrong).toMatch(/It says no: .*token/)
  await repl(a, 'remote', 'set', 'b', '--remote-token-file', bed.path('token'))
  await a.shipped()
  expect(await keysOf(b, 'docs')).toEqual(['kept'])
  expect(await repl(a, 'remote', 'remove', 'b')).toContain('It knows')
  const right = await repl(a, 'remote', 'add', 'b', b.url, '--remote-token-file', bed.path('token'))
  expect(right).toContain('It has answered')
})

test('a remote that was removed while it was away gets no deletion made since, also once it is linked again', async () => {
  const [a, b] = [await bed.site('a').start(), await bed.site('b', accepting).start()]
  const add = ['remote', 'add', 'b', b.url, '--remote-token-file', bed.path('token')]
  await repl(a, ...add)
  for (const key of ['kept', 'deleted', 'later']) await a.put(`/docs/${key}`, key)
  await a.shipped()
  await b.kill()
  expect(await repl(a, 'remote', 'remove', 'b')).toContain('could not be told')
  await a.send('DELETE', '/docs/deleted')
  await b.start()
  await repl(a, ...add)
  await a.send('DELETE', '/docs/later')
  await a.put('/docs/new', 'new')
  await a.shipped()
  expect(await keysOf(b, 'docs')).toEqual(['deleted', 'kept', 'new'])
  // It is told this time, and remembers it.
  expect(await repl(a, 'remote', 'remove', 'b')).toContain('It knows')
  expect((await a.status()).remotes).toEqual([])
})

test('three sites in a chain, one of which wants a part, hold what they are to hold', async () => {
  const c = await bed.site('c', accepting).start()
  const b = await bed.site('b', accepting).start()
  const a = await bed.site('a').start()
  const tokenFile = ['--remote-token-file', bed.path('token')]
  await repl(a, 'remote', 'add', 'b', b.url, ...tokenFile)
  await repl(b, 'remote', 'add', 'c', c.url, '--bucket', 'docs', '--prefix', 'open/', ...tokenFile)
  for (const key of ['open/1', 'secret/1']) await a.put(`/docs/${key}`, key)
  await a.put('/other/open/1', 'x')
  await a.shipped()
  await b.shipped()
  await expectEqualBuckets([a, b], 'docs', 1)
  expect(await keysOf(c, 'docs')).toEqual(['open/1'])
  expect((await c.send('HEAD', '/other')).status).toBe(404)
  await repl(b, 'remote', 'set', 'c', '--clear', 'prefixes')
  await b.shipped()
  await expectEqualBuckets([b, c], 'docs', 1)
})
