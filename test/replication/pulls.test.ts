import { afterEach, describe, expect, test } from 'vitest'
import { RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import { runUntil, settleTasks } from './manual-clock.ts'
import { MemoryPair, type PairOptions } from './memory-pair.ts'
import type { MemoryUpload } from './memory-sink.ts'

const mib = 2 ** 20
const pairs: MemoryPair[] = []
afterEach(async () => {
  await Promise.all(pairs.splice(0).map((pair) => pair.close()))
})

function startPair(options: PairOptions = {}): MemoryPair {
  const pair = new MemoryPair(options)
  pairs.push(pair)
  pair.sender.start()
  return pair
}

function bodyOf(size: number, seed = 1): Buffer {
  const body = Buffer.alloc(size)
  for (let i = 0; i + 4 <= size; i += 64) body.writeUInt32LE((i * 2654435761 + seed) >>> 0, i)
  return body
}

/** Holds every transfer back until released. */
function holdPulls(pair: MemoryPair): () => void {
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  pair.blobs.fault = () => gate
  return () => release()
}

describe('a large object', () => {
  test('is offered, pulled in ranges, and acknowledged when it is applied there', async () => {
    const pair = startPair()
    const body = bodyOf(20 * mib)
    pair.feed.write('large', body)
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    expect(pair.blobs.ranges.map(({ start, end }) => [start / mib, end / mib])).toEqual([
      [0, 4],
      [4, 8],
      [8, 12],
      [12, 16],
      [16, 20],
    ])
    expect(pair.blobs.runningMost).toBe(4)
    expect(pair.transport.batches.every((bytes) => bytes.length < 4096)).toBe(true)
    expect(pair.feed.openObjects).toBe(0)
    expect(pair.ledger.onWire.size).toBe(0)
    expect(pair.clock.now()).toBe(1_700_000_000_000)
  })

  test('does not hold up what is small, and shows as being pulled', async () => {
    const pair = startPair()
    const release = holdPulls(pair)
    for (let i = 0; i < 10; i++) pair.feed.write(`large-${i}`, bodyOf(2 * mib))
    for (let i = 0; i < 200; i++) pair.feed.write(`small-${i}`, Buffer.from('x'))
    await runUntil(pair.clock, () => pair.ledger.counters().pending === 10)
    expect(await pair.status()).toMatchObject({ pulling: 10, inFlight: 10, state: 'streaming' })
    release()
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('whose transfer is cut goes on where the held bytes end', async () => {
    const pair = startPair()
    let cuts = 6
    pair.blobs.fault = (_range, sent) => {
      if (sent > 3 * mib && cuts-- > 0) throw new RemoteUnreachableError('cut')
    }
    const body = bodyOf(12 * mib)
    pair.feed.write('large', body)
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    const starts = pair.blobs.ranges.map(({ start }) => start)
    expect(starts.length).toBeGreaterThan(3)
    expect(new Set(starts).size).toBe(starts.length)
    expect(pair.blobs.bytes).toBe(12 * mib)
  })

  test('is continued, not begun again, after the receiver or the sender was restarted', async () => {
    const pair = startPair()
    let stopped = false
    pair.blobs.fault = (range, sent) => {
      if (!stopped && range.start + sent >= 5 * mib) return new Promise(() => undefined)
    }
    const body = bodyOf(12 * mib)
    pair.feed.write('large', body)
    await runUntil(pair.clock, () => [...pair.sink.uploads.values()][0]?.heldBytes === 5 * mib)
    stopped = true
    pair.blobs.fault = (_range, sent) => {
      if (sent > 2 * mib) throw new RemoteUnreachableError('cut')
    }
    await pair.restartRemote()
    await runUntil(pair.clock, () => pair.blobs.ranges.length > 3)
    await pair.restartSender()
    pair.blobs.fault = () => undefined
    await pair.settled()
    expect(pair.sink.slots.get('o/box/large')?.body?.equals(body)).toBe(true)
    expect(pair.blobs.ranges.filter(({ start }) => start === 0)).toHaveLength(1)
  })

  test('that stalls is cut after a while without progress, and tried again', async () => {
    const pair = startPair()
    let stalls = 2
    pair.blobs.fault = (range) => {
      if (stalls-- <= 0) return
      return new Promise((_resolve, reject) => {
        pair.clock.after(40_000, () => reject(new RemoteUnreachableError(`stalled ${range.start}`)))
      })
    }
    pair.feed.write('large', bodyOf(3 * mib))
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('that is overwritten while it is pulled gives way to the newer state at once', async () => {
    const pair = startPair()
    const release = holdPulls(pair)
    pair.feed.write('large', bodyOf(30 * mib))
    await runUntil(pair.clock, () => pair.blobs.ranges.length > 0)
    pair.feed.write('large', Buffer.from('small now'))
    await runUntil(pair.clock, () => pair.missing().length === 0)
    release()
    await pair.settled()
    await settleTasks(10)
    expect(pair.sink.slots.get('o/box/large')?.body?.toString()).toBe('small now')
    expect(pair.feed.openObjects).toBe(0)
    expect(pair.sink.uploads.size).toBe(0)
    expect(pair.ledger.counters()).toMatchObject({ replicated: 1, superseded: 1, failed: 0 })
  })

  test('that is handed out anew while it is pulled is not taken for superseded', async () => {
    const pair = startPair()
    for (let i = 0; i < 5; i++) pair.feed.write(`small-${i}`, Buffer.from('x'))
    await pair.settled()
    const release = holdPulls(pair)
    pair.feed.write('large', bodyOf(3 * mib))
    await runUntil(pair.clock, () => pair.blobs.ranges.length > 0)
    // The remote forgets this site, and says so when it is greeted again: everything goes out once more.
    pair.sink.marks.clear()
    const anew = Promise.withResolvers<void>()
    pair.transport.fault = (call) => {
      if (call === 'completions') throw new RemoteUnreachableError('cut')
      return call === 'batch' ? anew.promise : undefined
    }
    const isSentAnew = (): boolean =>
      pair.lines.some(({ message }) => message === 'Sending everything to the remote again')
    await runUntil(pair.clock, isSentAnew)
    // The old transfer ends before the new offer has arrived.
    release()
    await settleTasks(20)
    pair.transport.fault = () => undefined
    anew.resolve()
    await pair.settled()
    expect(pair.missing()).toEqual([])
    // Were it told so in between, the next offer might be settled by it, with nothing there.
    const { received } = pair.remote.figures()
    const isSuperseded = ({ result }: { readonly result: string }): boolean =>
      result === 'superseded'
    const superseded = received.counts().filter(isSuperseded)
    expect(superseded.map(({ events }) => events)).toEqual(superseded.map(() => 0))
  })

  test('whose bytes were damaged on the way is fetched anew, and refused only if that does not help', async () => {
    const pair = startPair()
    let damage = true
    const fetch = pair.blobs.fetchRange.bind(pair.blobs)
    pair.blobs.fetchRange = async (range, signal) => {
      const bytes = await fetch(range, signal)
      return (async function* () {
        for await (const piece of bytes) {
          if (damage) yield Buffer.from(piece).fill(7, 0, 10)
          else yield piece
          damage = false
        }
      })()
    }
    pair.feed.write('large', bodyOf(3 * mib))
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.ledger.letters.size).toBe(0)
  })

  test('that the receiver cannot fetch is offered again and again, shown with the reason', async () => {
    const pair = startPair({ options: { transfer: 'pull' } })
    pair.blobs.tickets = undefined
    pair.feed.write('large', bodyOf(3 * mib))
    await runUntil(pair.clock, () => pair.transport.batches.length > 4)
    expect(pair.ledger.letters.size).toBe(0)
    expect((await pair.status()).lastError).toContain('nobody is there')
    pair.blobs.tickets = pair.sender.tickets
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('waits for a ticket when all are out', async () => {
    const pair = startPair()
    const release = holdPulls(pair)
    for (let i = 0; i < 100; i++) pair.feed.write(`large-${i}`, bodyOf(mib + 1))
    await runUntil(pair.clock, () => pair.blobs.ranges.length >= 2)
    await settleTasks(20)
    expect((await pair.status()).pulling).toBe(64)
    expect(pair.feed.openObjects).toBe(64)
    release()
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.feed.openObjects).toBe(0)
  })
})

describe('the handle of an upload', () => {
  test('is closed when the store fails, and the next one takes over', async () => {
    const pair = startPair()
    const stage = pair.sink.stageUpload.bind(pair.sink)
    const failed: MemoryUpload[] = []
    pair.sink.stageUpload = async (mutation) => {
      const upload = (await stage(mutation)) as MemoryUpload
      const step = (['append', 'checkpoint'] as const)[failed.length]
      if (step !== undefined) {
        failed.push(upload)
        pair.sink.uploads.clear()
        if (step === 'checkpoint') pair.blobs.tickets = undefined
        upload[step] = async () => {
          pair.blobs.tickets = pair.sender.tickets
          throw new Error('the disk has failed')
        }
      }
      return upload
    }
    pair.feed.write('large', bodyOf(3 * mib))
    await pair.settled()
    expect(failed.map(({ closed, aborted }) => [closed, aborted])).toEqual([
      [1, false],
      [1, false],
    ])
    expect(pair.missing()).toEqual([])
  })

  test('is closed when applying fails', async () => {
    const pair = startPair()
    let upload: MemoryUpload | undefined
    pair.sink.intercept = ({ body }) => {
      if (body.kind !== 'staged' || upload !== undefined) return undefined
      upload = body.upload as MemoryUpload
      throw new Error('the disk has failed')
    }
    pair.feed.write('large', bodyOf(3 * mib))
    await pair.settled()
    expect(upload?.closed).toBe(1)
    expect(pair.missing()).toEqual([])
  })

  test('is fetched no further once the link was paused or removed, and kept for the next offer', async () => {
    const pair = startPair()
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    pair.blobs.fault = (range, sent) => (range.start + sent >= mib ? gate : undefined)
    pair.feed.write('large', bodyOf(12 * mib))
    const held = (): MemoryUpload | undefined => [...pair.sink.uploads.values()][0]
    await runUntil(pair.clock, () => held()?.heldBytes === mib)
    await pair.sender.remove('default')
    release()
    await runUntil(pair.clock, () => pair.feed.openObjects === 0 && held()?.heldBytes !== mib)
    expect(pair.blobs.bytes).toBeLessThan(2 * mib)
    expect(pair.sink.slots.has('o/box/large')).toBe(false)
    expect(held()?.aborted).toBe(false)
  })

  test('is closed at the end, when it was kept to be continued', async () => {
    const pair = startPair({ options: { transfer: 'pull' } })
    pair.blobs.tickets = undefined
    pair.feed.write('large', bodyOf(3 * mib))
    await runUntil(pair.clock, () => pair.transport.batches.length > 2)
    const [upload] = [...pair.sink.uploads.values()]
    expect(upload?.closed).toBe(0)
    await pair.remote.close()
    expect(upload).toMatchObject({ closed: 1, aborted: false })
  })
})
