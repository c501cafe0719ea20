import { createHash, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ByteBudget } from '../../src/base/byte-budget.ts'
import { ManualClock } from './manual-clock.ts'
import { startSite, type TestSite } from './start-site.ts'

const mib = 2 ** 20
const rest = 64 * 1024

let clock: ManualClock
let budget: ByteBudget
let site: TestSite

/** Room for two transfers that move, and nobody may wait. */
beforeEach(async () => {
  clock = new ManualClock()
  budget = new ByteBudget({ clock, capacityBytes: 4 * mib, waitersMax: 0 })
  site = await startSite({ clock, budget })
})
afterEach(() => site.close())

/** Turns of the event loop, with the kernel's in between, until it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

/** So much time that whoever stands still is slow, and is not cut off. */
function pass(): void {
  clock.advance(1500)
}

/** An upload whose client has sent a part. */
async function beginUpload(key: string, body: Buffer, part: number): Promise<Socket> {
  const socket = connect(site.port, '127.0.0.1')
  socket.write(`PUT /films/${key} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`)
  await new Promise((resolve) => socket.write(body.subarray(0, part), resolve))
  return socket
}

function statusOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('data', (bytes) => resolve(bytes.toString('latin1').slice(9, 12)))
  })
}

describe('uploads that stand still', () => {
  it('leave their memory to others, and are whole when they go on', async () => {
    const body = randomBytes(2 * mib + 7)
    const parts = [1000, 300_000]
    const slow = await Promise.all(
      parts.map((part, index) => beginUpload(`slow-${index}`, body, part)),
    )
    await until(() => budget.heldBytes === 4 * mib)
    expect((await site.send('PUT', '/films/other', { body })).status).toBe(503)
    await until(() => clock.armed > 0)
    pass()
    await until(() => budget.heldBytes === 2 * rest)
    expect((await site.send('PUT', '/films/other', { body })).status).toBe(200)
    const statuses = slow.map(statusOf)
    for (const [index, socket] of slow.entries()) socket.write(body.subarray(parts[index]))
    expect(await Promise.all(statuses)).toEqual(['200', '200'])
    for (const key of ['slow-0', 'slow-1', 'other']) {
      expect((await site.send('GET', `/films/${key}`)).body.equals(body)).toBe(true)
    }
    for (const socket of slow) socket.destroy()
    await until(() => budget.heldBytes === 0)
  })

  it('wait for memory, without more from their client, when others have it by then', async () => {
    const body = randomBytes(2 * mib)
    const socket = await beginUpload('slow', body, 70_000)
    await until(() => budget.heldBytes === 2 * mib)
    pass()
    await until(() => budget.heldBytes === rest)
    budget.tryAcquire(4 * mib - rest)
    const status = statusOf(socket)
    socket.write(body.subarray(70_000))
    expect(await status).toBe('503')
    socket.destroy()
    await until(() => budget.heldBytes === 4 * mib - rest)
    expect((await site.send('HEAD', '/films/slow')).status).toBe(404)
    budget.release(4 * mib - rest)
  })
})

describe('a download', () => {
  it('reads no more ahead for a client that takes nothing, and is whole when that goes on', async () => {
    const body = randomBytes(24 * mib)
    await site.send('PUT', '/films/film', { body })
    const socket = connect(site.port, '127.0.0.1')
    socket.pause()
    socket.write('GET /films/film HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    await until(() => budget.heldBytes >= 2 * mib)
    for (let turn = 0; budget.heldBytes > mib; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (turn % 100 === 99) pass()
    }
    expect(budget.heldBytes).toBe(mib)
    const hash = createHash('sha256')
    let head: Buffer | undefined = Buffer.alloc(0)
    for await (const bytes of socket as AsyncIterable<Buffer>) {
      if (head === undefined) hash.update(bytes)
      else {
        head = Buffer.concat([head, bytes])
        const at = head.indexOf('\r\n\r\n')
        if (at < 0) continue
        hash.update(head.subarray(at + 4))
        head = undefined
      }
    }
    expect(hash.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'))
    await until(() => budget.heldBytes === 0)
  })
})
