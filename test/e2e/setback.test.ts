/** A crash is no setback: what a site told its remote was on its disk. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { accepting, shippingTo } from './pair-settings.ts'
import { RecordedLoad } from './recorded-load.ts'
import { TestBed } from './site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('a site that is killed under load again and again goes on where it was', async () => {
  const b = await bed.site('b', accepting).start()
  const a = await bed.site('a', shippingTo(b.url)).start()
  const load = new RecordedLoad(31)
  for (let round = 0; round < 4; round++) {
    // Long enough each time that marks were told and stored.
    await load.run(a, 300, () => a.kill())
    await a.start()
    if (round % 2 === 1) {
      await b.kill()
      await b.start()
    }
  }
  await a.shipped()
  expect((await a.log()).toLowerCase()).not.toContain('sending everything')
})
