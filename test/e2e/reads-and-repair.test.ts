/** What one site does for another's reads and for its damage, and `comio repl verify` as it is typed. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { spoil } from '../store/spoil.ts'
import { acceptedToken, acceptingWith, shippingTo } from './pair-settings.ts'
import { type Ended, runComio } from './run-program.ts'
import { type SiteProcess, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

let bed: TestBed
/** Ships to B, and reads there what it lacks; what is written at B stays there. */
let a: SiteProcess
let b: SiteProcess

const random = seededRandom(7)
const content = (bytes: number): Buffer => Buffer.from(random.bytes(bytes))
const small = content(30_000)
const large = content(3 * 2 ** 20)
const only = content(50_000)

beforeAll(async () => {
  bed = await TestBed.make()
  b = await bed.site('b', acceptingWith({})).start()
  a = await bed.site('a', shippingTo(b.url, { proxy_reads: true, proxy_timeout: '30s' })).start()
  for (const [key, body] of Object.entries({ small, large })) await a.put(`/docs/${key}`, body)
  await a.shipped()
})

afterAll(() => bed.remove())

const verify = (...args: readonly string[]): Promise<Ended> =>
  runComio(['repl', 'verify', ...args, '--url', a.url])

test('two sites that hold the same are told to be equal, up to a place and a time', async () => {
  const { code, stdout } = await verify()
  expect(stdout).toMatch(/^default: equal up to seq \d+, checked at \d{4}-\d\d-\d\dT[\d:.]+Z\n/)
  expect(code).toBe(0)
})

test('what only the other site has is read from there, listed as missing, and fetched by a repair', async () => {
  const onlyB = content(2 * 2 ** 20)
  await b.put('/docs/only-b', onlyB)
  await b.put('/only-there/x', 'x')
  const proxied = await a.send('GET', '/docs/only-b')
  expect(proxied.body.equals(onlyB)).toBe(true)
  expect(proxied.headers['x-comio-proxied-from']).toBe((await b.status()).site_id)
  const range = { range: 'bytes=1500000-1500099' }
  const part = await a.send('GET', '/docs/only-b', { headers: range })
  expect(part.status).toBe(206)
  expect(part.body.equals(onlyB.subarray(1_500_000, 1_500_100))).toBe(true)
  expect((await a.send('HEAD', '/only-there/x')).headers['content-length']).toBe('1')
  expect((await a.send('GET', '/docs/nowhere')).status).toBe(404)

  const different = await verify()
  expect(different.code).toBe(1)
  expect(different.stdout).toContain('different, 3 differences')
  expect(different.stdout).toContain('missing here  object    docs/only-b')
  const repaired = await verify('--repair')
  expect(repaired.stdout).toContain('equal up to seq')
  expect(repaired.stdout).toContain('3 differences repaired')
  expect(repaired.code).toBe(0)
  const own = await a.send('GET', '/docs/only-b')
  expect(own.body.equals(onlyB)).toBe(true)
  expect(own.headers['x-comio-proxied-from']).toBeUndefined()
})

test('damaged bytes are read from the other site and mended, here by a read and there by a repair', async () => {
  await spoil(a.storage, large.subarray(2 * 2 ** 20, 2 * 2 ** 20 + 500))
  await spoil(b.storage, small.subarray(10_000, 10_500))
  const refused = await b.send('GET', '/docs/small')
  expect(refused.status).toBe(500)
  expect(refused.body.toString()).toContain('<Code>ObjectCorrupted</Code>')
  expect((await a.send('GET', '/docs/large')).body.equals(large)).toBe(true)
  await until('the object is mended', async () => {
    const { body } = await a.send('GET', '/admin/metrics')
    const text = body.toString()
    return text.includes('comio_mended_objects_total 1') ? true : new NotYet('not yet')
  })
  expect(await a.log()).toContain('Damaged bytes were replaced by those of a remote')

  const found = await verify('--deep')
  expect(found.code).toBe(1)
  expect(found.stdout).toContain('different, 1 difference,')
  expect(found.stdout).toContain('corrupt there object    docs/small')
  const mended = await verify('--deep', '--repair')
  expect(mended.stdout).toContain('1 difference repaired')
  expect(mended.code).toBe(0)
  expect((await b.send('GET', '/docs/small')).body.equals(small)).toBe(true)
})

test('a scrub finds damage that nobody reads, heals it from the other site, and says so', async () => {
  await spoil(a.storage, large.subarray(2 * 2 ** 20, 2 * 2 ** 20 + 500))
  const scrub = (...args: readonly string[]): Promise<Ended> =>
    runComio(['volume', 'scrub', ...args, '--url', a.url])
  const first = await scrub()
  expect(first.stdout).toContain('all sound')
  expect(first.stdout).toContain('1 found damaged, 1 healed')
  expect(first.stdout).toContain('healed  object    docs/large')
  expect(first.code).toBe(0)
  expect((await a.send('GET', '/docs/large')).body.equals(large)).toBe(true)
  expect(await a.log()).toContain('Scrubbed: everything that is stored is sound')

  await a.put('/local/only-a', only)
  await a.shipped()
  await b.send('DELETE', '/local/only-a')
  await spoil(a.storage, only.subarray(0, 500))
  const second = await scrub()
  expect(second.stdout).toMatch(/^1 damaged, ended at /)
  expect(second.stdout).toContain(
    'damaged object    local/only-a: no remote has sound bytes of this version',
  )
  expect(second.code).toBe(1)
  const health = await a.send('GET', '/admin/health')
  expect(health.body.toString()).toContain('left damage that it could not heal')
  expect((await scrub('--status')).stdout).toContain('1 damaged, ended at')
})

test('while the other site is down nothing is known of it, and reads do not wait for it', async () => {
  await b.kill()
  expect((await a.send('GET', '/docs/nowhere')).status).toBe(404)
  const { code, stdout } = await verify()
  expect(code).toBe(1)
  expect(stdout).toContain('default: unknown whether it holds the same')
  expect(stdout).toContain('cannot reach')
  expect((await a.log()).includes(acceptedToken)).toBe(false)
})
