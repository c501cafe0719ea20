/** `kill -9` under load: what was answered is there, and is what was written, after every start. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import { RecordedLoad } from './recorded-load.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { TestBed } from './site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('a site killed twenty times under load has every answered write after each start', async () => {
  const site = bed.site('a', { args: ['--size', '256MiB'] })
  const random = seededRandom(20)
  const load = new RecordedLoad(21)
  for (let round = 0; round < 20; round++) {
    await site.start()
    await load.verify(site)
    await load.run(site, 30 + randomBelow(random, 170), () => site.kill())
    // A crash of the recovery from a crash.
    if (round === 6) await site.killInStart('"msg":"Volume opened"')
    if (round === 13) await site.killInStart('"msg":"Index brought up to the log"')
  }
  await site.start()
  await load.verify(site)
  expect(await site.stop()).toBe(0)
})

test('two sites, either of which is killed again and again under load, end equal', async () => {
  const b = await bed.site('b', accepting).start()
  const a = await bed.site('a', shippingTo(b.url)).start()
  const load = new RecordedLoad(22)
  for (let round = 0; round < 4; round++) {
    await load.run(a, 200, async () => {
      if (round > 0) await b.kill()
      // B comes back while A is written to.
      if (round > 1) await b.start()
      await a.kill()
    })
    if (round === 1) await b.start()
    await a.start()
    await load.verify(a)
    await a.status()
  }
  const status = await a.shipped()
  expect(status.events_failed).toBe(0)
  await expectEqualBuckets([a, b], 'load', 5)
})
