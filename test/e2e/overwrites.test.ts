import { afterEach, beforeEach, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { inParallel } from './parallel.ts'
import { TestBed } from './site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('an object that is overwritten while it is read is always one of those written', async () => {
  // Small, so that the segments of what was overwritten are freed and used again meanwhile.
  const site = await bed.site('a', { args: ['--size', '64MiB'] }).start()
  const lengthOf = (i: number): number => (i % 4 === 0 ? 1_500_000 : 1000) + i
  await site.put('/docs/one', bytesOf(lengthOf(0), lengthOf(0)))
  let writing = true
  const reading = inParallel(8, 8, async () => {
    while (writing) {
      const { status, body } = await site.send('GET', '/docs/one')
      expect(status).toBe(200)
      expect(body.equals(bytesOf(body.length, body.length)), `${body.length} bytes`).toBe(true)
    }
  })
  await inParallel(8, 160, (i) => site.put('/docs/one', bytesOf(lengthOf(i), lengthOf(i))))
  writing = false
  await reading
})
