/** What hurts users of other systems about large objects, wrong bytes and false promises of equality. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bytesOf } from '../e2e/content.ts'
import { NotYet, until } from '../e2e/until.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { TestSite } from '../server/test-site.ts'
import {
  keysIn,
  metric,
  put,
  putEach,
  read,
  remoteWhen,
  settingsOf,
  shipped,
  statusOf,
  verify,
} from './pain-sites.ts'

const mib = 2 ** 20
/** Of volumes as small as these. */
const segmentBytes = 4 * mib

/** A ships to B over one link; B fetches large objects over the other. */
let a: TestSite
let b: TestSite
let there: FaultProxy
let back: FaultProxy

beforeAll(async () => {
  there = await FaultProxy.listen()
  back = await FaultProxy.listen()
  a = await TestSite.make()
  b = await TestSite.make()
  await b.start(settingsOf('site-b'))
  const settings = settingsOf('site-a', there.url, { transfer: 'pull', inlineLimit: mib })
  await a.start({ ...settings, server: { ...settings.server, advertiseUrl: back.url } })
  there.joinTo(b.url)
  back.joinTo(a.url)
})

afterAll(async () => {
  await Promise.all([a.remove(), b.remove()])
  await Promise.all([there.close(), back.close()])
})

const usedAtB = (): Promise<number> => metric(b, 'comio_volume_used_bytes')

describe('the pains of content', () => {
  test('3. large objects on a bad link never finish: a transfer goes on where it was cut, with at most a twentieth sent twice', async () => {
    const bytes = 32 * mib
    const film = bytesOf(3, bytes)
    const before = back.bytes
    back.cutAt([before + 9 * mib, before + 21 * mib])
    await put(a, '/films/film', film)
    expect(await shipped(a)).toMatchObject({ events_failed: 0 })
    expect(back.cuts).toBe(2)
    expect(back.bytes - before).toBeLessThan(1.05 * bytes)
    expect((await b.send('GET', '/films/film')).body.equals(film)).toBe(true)
  })

  test('4. attempts that failed fill the target: what came of an object that is gone is given up and its space is free', async () => {
    const before = await usedAtB()
    back.cutAfter(28 * mib)
    await put(a, '/films/abandoned', bytesOf(4, 32 * mib))
    await until('it is cut in the middle', async () => {
      if (back.cuts < 3) return new NotYet(back.bytes)
      back.weather = { kind: 'cut' }
      return true
    })
    await until('what came in order is on the disk of B', async () => {
      const used = await usedAtB()
      return used >= before + 2 * segmentBytes ? true : new NotYet(used)
    })
    await a.send('DELETE', '/films/abandoned')
    back.joinTo(a.url)
    await shipped(a)
    await until('the space is free', async () => {
      // A store looks for empty segments when it has indexed something.
      await put(b, '/nudge/nudge', 'x')
      const used = await usedAtB()
      return used <= before + segmentBytes ? true : new NotYet(used)
    })
    expect(await read(b, '/films/abandoned')).toBe('404')
  })

  test('11. the replica holds wrong or empty content: a bit that turned over on the way is found before anything shows', async () => {
    const bytes = bytesOf(11, 8 * mib)
    back.flipAfter(3 * mib)
    expect(back.hasFlipped).toBe(false)
    await put(a, '/films/flipped', bytes)
    await until('it is there', async () => {
      const { status, body } = await b.send('GET', '/films/flipped')
      if (status === 200) expect(body.equals(bytes)).toBe(true)
      return status === 200 ? true : new NotYet(back.bytes)
    })
    expect(back.hasFlipped).toBe(true)
    await shipped(a)
    expect((await statusOf(a)).events_failed).toBe(0)
  })

  test('12. verification lies: equal up to a place and a time, by content and not by size, and unknown is a verdict', async () => {
    const docs = { bucket: 'docs' }
    await put(a, '/docs/same', 'same')
    const { head } = await shipped(a)
    expect(await verify(a, docs)).toMatchObject({
      verdict: 'equal',
      up_to: head,
      checked_at: expect.stringMatching(/Z$/),
      differences: 0,
    })
    // Of the same length and with the same name, written behind the back of A.
    await put(b, '/docs/same', 'SAME')
    expect(await verify(a, docs)).toMatchObject({
      verdict: 'different',
      listed: [expect.objectContaining({ bucket: 'docs', key: 'same', what: 'object' })],
    })
    there.weather = { kind: 'cut' }
    const unknown = await verify(a, docs)
    expect(unknown).toMatchObject({ verdict: 'unknown', reason: expect.any(String) })
    there.joinTo(b.url)
    expect(await verify(a, { ...docs, repair: true })).toMatchObject({
      verdict: 'equal',
      repaired: 1,
    })
    expect(await read(a, '/docs/same')).toBe('SAME')
  })

  test('14. forced versioning bloats storage: what is overwritten travels once, and no version of it is kept anywhere', async () => {
    const before = await metric(b, 'comio_store_object_bytes')
    there.weather = { kind: 'cut' }
    await putEach(
      a,
      29,
      () => '/again/again',
      (i) => bytesOf(i, 100_000),
    )
    await put(a, '/again/again', bytesOf(29, 100_000))
    await remoteWhen(a, 'A has noticed', ({ state }) => state === 'unreachable')
    const { remotes } = await statusOf(a)
    expect(remotes[0]).toMatchObject({ pending_events: 2, pending_bytes: 100_000 })
    there.joinTo(b.url)
    const sent = remotes[0]?.wire_bytes ?? 0
    const after = await shipped(a)
    expect(after.wire_bytes - sent).toBeLessThan(2 * 100_000)
    expect(await metric(b, 'comio_store_object_bytes')).toBe(before + 100_000)
    expect(await keysIn(b, 'again')).toEqual(['again'])
    expect((await b.send('GET', '/again/again')).body.equals(bytesOf(29, 100_000))).toBe(true)
  })
})
