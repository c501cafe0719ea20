/** A site whose volume is a file: through kills, beside another process, and when it is full. */
import { stat } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { inParallel } from './parallel.ts'
import { runComio } from './run-program.ts'
import { TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

const mib = 2 ** 20
const onFile = (size: string) => ({ args: ['--storage-type', 'file', '--size', size] })

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

describe('a site on a file', () => {
  test('has what was answered after a kill, takes its space at once, and lets nobody else in', async () => {
    const site = await bed.site('a', onFile('64MiB')).start()
    const { size, blocks } = await stat(site.storage)
    expect(size).toBe(64 * mib)
    expect(blocks * 512).toBeGreaterThanOrEqual(size)
    await site.put('/docs/large', bytesOf(1, 5 * mib))
    await inParallel(8, 40, (i) => site.put(`/docs/${i}`, bytesOf(i, 10_000)))
    const second = await runComio(['server', '--port', '0', '--storage', site.storage])
    expect(second.code).toBe(2)
    expect(second.stdout + second.stderr).toContain(`is in use by process ${site.pid}`)

    await site.kill()
    await site.start({ args: [] })
    expect((await site.send('GET', '/docs/large')).body.equals(bytesOf(1, 5 * mib))).toBe(true)
    await inParallel(8, 40, async (i) => {
      expect((await site.send('GET', `/docs/${i}`)).body.equals(bytesOf(i, 10_000))).toBe(true)
    })
    expect((await stat(site.storage)).size).toBe(size)
    expect((await stat(`${site.storage}.index`)).isDirectory()).toBe(true)
    expect(await site.stop()).toBe(0)
  })

  test('that is full answers 507, survives kills, and takes writes again when something is deleted', async () => {
    const site = await bed.site('a', onFile('24MiB')).start()
    let taken = 0
    for (;;) {
      const { status } = await site.send('PUT', `/full/${taken}`, { body: bytesOf(taken, 200_000) })
      if (status === 507) break
      expect(status).toBe(200)
      taken++
    }
    expect(taken).toBeGreaterThan(40)
    for (let round = 0; round < 4; round++) {
      await site.kill()
      await site.start()
    }
    await inParallel(8, taken, async (i) => {
      const { body } = await site.send('GET', `/full/${i}`)
      expect(body.equals(bytesOf(i, 200_000)), `object ${i}`).toBe(true)
    })
    await inParallel(8, taken, async (i) => {
      expect((await site.send('DELETE', `/full/${i}`)).status).toBe(204)
    })
    for (let i = 0; i < taken / 2; i++) {
      await until(`there is room for object ${i}`, async () => {
        const { status } = await site.send('PUT', `/full/${i}`, { body: bytesOf(i, 200_000) })
        return status === 200 ? true : new NotYet(status)
      })
    }
  })
})
