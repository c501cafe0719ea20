/** `kill -9` under load: what was answered is there, and is what was written, after every start. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { killUnderLoad } from './kill-run.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import { RecordedLoad } from './recorded-load.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { TestBed } from './site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('a site killed again and again under load has every answered write after each start', () =>
  killUnderLoad(bed, 7))

test('two sites, either of which is killed again and again under load, end equal, and neither is taken for one that was set back', async () => {
  const b = await bed.site('b', accepting).start()
  const a = await bed.site('a', shippingTo(b.url)).start()
  const load = new RecordedLoad(22)
  for (let round = 0; round < 3; round++) {
    // Long enough each time that marks were told and stored.
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
  // What a site told its remote was on its disk.
  expect((await a.log()).toLowerCase()).not.toContain('sending everything')
  await expectEqualBuckets([a, b], 'load', 5)
})
