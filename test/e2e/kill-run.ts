/** One site that is killed under load again and again; `npm run test:large` kills it more often. */
import { expect } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { RecordedLoad } from './recorded-load.ts'
import type { TestBed } from './site-process.ts'

/** After every start, what was answered is there, and is what was written. */
export async function killUnderLoad(bed: TestBed, kills: number): Promise<void> {
  const site = bed.site('a', { args: ['--size', '256MiB'] })
  const random = seededRandom(20)
  const load = new RecordedLoad(21)
  for (let round = 0; round < kills; round++) {
    await site.start()
    await load.verify(site)
    await load.run(site, 30 + randomBelow(random, 170), () => site.kill())
    // A crash of the recovery from a crash.
    if (round % 7 === 2) await site.killInStart('"msg":"Volume opened"')
    if (round % 7 === 5) await site.killInStart('"msg":"Index brought up to the log"')
  }
  await site.start()
  await load.verify(site)
  expect(await site.stop()).toBe(0)
}
