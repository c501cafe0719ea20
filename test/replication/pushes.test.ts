import { afterEach, describe, expect, test } from 'vitest'
import { RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import { runUntil, settleTasks } from './manual-clock.ts'
import { MemoryPair, type PairOptions } from './memory-pair.ts'

const mib = 2 ** 20
const pairs: MemoryPair[] = []
afterEach(async () => {
  await Promise.all(pairs.splice(0).map((pair) => pair.close()))
})

function startPair(transfer: 'push' | 'auto', options: PairOptions = {}): MemoryPair {
  const pair = new MemoryPair({ ...options, options: { transfer, ...options.options } })
  pairs.push(pair)
  pair.sender.start()
  return pair
}

function bodyOf(size: number, seed = 1): Buffer {
  const body = Buffer.alloc(size)
  for (let i = 0; i + 4 <= size; i += 64) body.writeUInt32LE((i * 2654435761 + seed) >>> 0, i)
  return body
}

describe('a large object to a remote that cannot call back', () => {
  test('is pushed, and acknowledged when it is applied there', async () => {
    const pair = startPair('push')
    const body = bodyOf(5 * mib)
    pair.feed.write('large', body)
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    expect(pair.blobs.ranges).toEqual([])
    expect(pair.feed.openObjects).toBe(0)
    expect(pair.sender.tickets.hasRoom).toBe(true)
  })

  test('goes on where the remote says that its bytes end, after every cut', async () => {
    const pair = startPair('push')
    let cuts = 3
    pair.transport.pushFault = (_range, sent) => {
      if (sent >= mib && cuts-- > 0) throw new RemoteUnreachableError('cut')
    }
    const body = bodyOf(6 * mib)
    pair.feed.write('large', body)
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    const starts = pair.transport.pushes
      .filter(({ end }) => end > 0)
      .map(({ start }) => start / mib)
    expect(starts).toEqual([0, 1, 2, 3])
  })

  test('arrives after both ends were restarted in the middle, without a second beginning', async () => {
    const pair = startPair('push')
    pair.transport.pushFault = (range, sent) => {
      if (range.start + sent >= 2 * mib) return new Promise(() => undefined)
    }
    const body = bodyOf(6 * mib)
    pair.feed.write('large', body)
    await runUntil(pair.clock, () => [...pair.sink.uploads.values()][0]?.heldBytes === 2 * mib)
    await pair.restartRemote()
    await pair.restartSender()
    pair.transport.pushFault = () => undefined
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    const begun = pair.transport.pushes.filter(({ start, end }) => start === 0 && end > 0)
    expect(begun).toHaveLength(1)
  })

  test('gives way to a newer state at once', async () => {
    const pair = startPair('push')
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    pair.transport.pushFault = () => gate
    pair.feed.write('large', bodyOf(6 * mib))
    await runUntil(pair.clock, () => pair.transport.pushes.length > 1)
    pair.feed.write('large', Buffer.from('small now'))
    await pair.settled()
    release()
    await settleTasks(10)
    expect(pair.sink.slots.get('o/box/large')?.body?.toString()).toBe('small now')
    expect(pair.feed.openObjects).toBe(0)
    expect(pair.sink.uploads.size).toBe(0)
  })

  test('is given up when a newer state arrives while its bytes are made durable', async () => {
    const pair = startPair('push')
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    let saving = 0
    const stage = pair.sink.stageUpload.bind(pair.sink)
    pair.sink.stageUpload = async (mutation) => {
      const upload = await stage(mutation)
      upload.checkpoint = () => {
        saving++
        return saving === 2 ? gate : Promise.resolve()
      }
      return upload
    }
    pair.transport.pushFault = (_range, sent) => {
      if (sent >= mib) throw new RemoteUnreachableError('cut')
    }
    pair.feed.write('large', bodyOf(6 * mib))
    await runUntil(pair.clock, () => saving === 2)
    pair.feed.write('large', Buffer.from('small now'))
    await pair.settled()
    release()
    await settleTasks(10)
    expect(pair.sink.slots.get('o/box/large')?.body?.toString()).toBe('small now')
    expect(pair.sink.uploads.size).toBe(0)
  })

  test('does not hold up what is small', async () => {
    const pair = startPair('push')
    pair.transport.pushFault = () => new Promise(() => undefined)
    for (let i = 0; i < 10; i++) pair.feed.write(`large-${i}`, bodyOf(2 * mib))
    for (let i = 0; i < 200; i++) pair.feed.write(`small-${i}`, Buffer.from('x'))
    await runUntil(pair.clock, () => pair.ledger.counters().pending === 10)
    expect(await pair.status()).toMatchObject({ pulling: 10, inFlight: 10, state: 'streaming' })
  })

  test('that cannot be moved does not keep the others from moving', async () => {
    const pair = startPair('push')
    const stuck = new Set<string>()
    pair.transport.pushFault = (range) => {
      if (range.size === 2 * mib) stuck.add(range.ticket)
      if (range.size === 2 * mib) throw new RemoteUnreachableError('cut')
    }
    for (let i = 0; i < 6; i++) pair.feed.write(`stuck-${i}`, bodyOf(2 * mib))
    for (let i = 0; i < 6; i++) pair.feed.write(`moving-${i}`, bodyOf(mib + 1))
    await runUntil(pair.clock, () => pair.ledger.counters().pending === 6)
    expect(stuck.size).toBeGreaterThan(3)
    expect(pair.missing().every((key) => key.startsWith('stuck'))).toBe(true)
    pair.transport.pushFault = () => undefined
    await pair.settled()
  })

  test('is pushed once the remote has said that it cannot fetch it', async () => {
    const pair = startPair('auto')
    pair.blobs.tickets = undefined
    const body = bodyOf(3 * mib)
    pair.feed.write('large', body)
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    const asked = pair.blobs.ranges.length
    expect(asked).toBeGreaterThan(0)
    pair.feed.write('another', bodyOf(3 * mib, 2))
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.blobs.ranges).toHaveLength(asked)
  })

  test('is fetched as long as the remote can', async () => {
    const pair = startPair('auto')
    pair.feed.write('large', bodyOf(3 * mib))
    await pair.settled()
    expect(pair.transport.pushes).toEqual([])
  })
})

describe('pushed bytes', () => {
  test('open nothing to a ticket that was made up', async () => {
    const pair = startPair('push')
    const range = { ticket: '00'.repeat(32), start: 0, end: 0, size: 10 }
    const pushed = pair.remote.receiver.push(range, noBytes())
    await expect(pushed).rejects.toMatchObject({ code: 'TICKET_GONE', end: 'unknown' })
  })

  test('that skip what is not held, or exceed the object, are refused and change nothing', async () => {
    const pair = startPair('push')
    pair.transport.pushFault = () => new Promise(() => undefined)
    pair.feed.write('large', bodyOf(2 * mib))
    await runUntil(pair.clock, () => pair.transport.pushes.length > 1)
    const ticket = pair.transport.pushes[0]?.ticket ?? ''
    const size = 2 * mib
    for (const range of [
      { ticket, start: 10, end: 20, size },
      { ticket, start: 0, end: size + 1, size },
      { ticket, start: 0, end: 0, size: size + 1 },
    ]) {
      await expect(pair.remote.receiver.push(range, noBytes())).rejects.toMatchObject({
        code: 'BAD_RANGE',
      })
    }
    pair.transport.pushFault = () => undefined
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })
})

async function* noBytes(): AsyncGenerator<Uint8Array> {
  // Nothing is brought.
}
