import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf, piecesOf } from '../e2e/content.ts'
import { accepting, shippingTo } from '../e2e/pair-settings.ts'
import { TestBed } from '../e2e/site-process.ts'
import { NotYet, until } from '../e2e/until.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'

const mib = 2 ** 20

let bed: TestBed
let proxy: FaultProxy

beforeEach(async () => {
  bed = await TestBed.make()
  proxy = await FaultProxy.listen()
})

afterEach(async () => {
  await bed.remove()
  await proxy.close()
})

test('1 GiB over a link that is cut ten times arrives with less than 64 MiB sent twice', async () => {
  const bytes = 1024 * mib
  const b = await bed.site('b', accepting).start()
  const args = ['--advertise-url', proxy.url]
  const a = await bed.site('a', { ...shippingTo(b.url), args }).start()
  const cuts = Array.from({ length: 10 }, (_, i) => (50 + 100 * i) * mib)
  proxy.passTo(a.url)
  proxy.cutAt(cuts)
  const headers = { 'content-length': String(bytes) }
  const put = await a.send('PUT', '/films/film', { headers, body: piecesOf(7, bytes) })
  expect(put.status).toBe(200)
  await until('the film has come', async () => {
    const { pending } = await a.status()
    return pending === 0 ? true : new NotYet(proxy.bytes)
  })
  expect(proxy.cuts).toBe(cuts.length)
  const twice = proxy.bytes - bytes
  process.stderr.write(`${(twice / mib).toFixed(1)} MiB of ${bytes / mib} were sent twice\n`)
  expect(twice).toBeLessThan(64 * mib)
  const { body } = await b.open('GET', '/films/film')
  expect(await digestOf(body)).toBe(await digestOf(piecesOf(7, bytes)))
})
