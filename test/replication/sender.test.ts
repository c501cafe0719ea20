import { afterEach, describe, expect, test } from 'vitest'
import { decodeBatch } from '../../src/replication/wire/batch-codec.ts'
import { RemoteRefusedError, RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import { runUntil, settleTasks } from './manual-clock.ts'
import { MemoryPair, type PairOptions } from './memory-pair.ts'

const pairs: MemoryPair[] = []
afterEach(async () => {
  await Promise.all(pairs.splice(0).map((pair) => pair.close()))
})

function startPair(options: PairOptions = {}): MemoryPair {
  const pair = makePair(options)
  pair.sender.start()
  return pair
}

function makePair(options: PairOptions = {}): MemoryPair {
  const pair = new MemoryPair(options)
  pairs.push(pair)
  return pair
}

const refused = (status: number, message = 'no') =>
  new RemoteRefusedError({ status, remoteCode: '', message })
const frameCounts = (pair: MemoryPair): readonly number[] =>
  pair.transport.batches.map((bytes) => decodeBatch(bytes).frames.length).filter((n) => n > 0)
const carries = (bytes: Buffer | undefined, text: string): boolean =>
  bytes?.includes(Buffer.from(text)) ?? false

/** Step by step, so that what one timer begins has armed the next. */
async function advance(pair: MemoryPair, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) {
    pair.clock.advance(Math.min(500, ms - passed))
    await settleTasks()
  }
}

describe('a sender', () => {
  test('ships what was there before it started, and what is written later, as it is', async () => {
    const pair = makePair()
    for (let i = 0; i < 250; i++) pair.feed.write(`old-${i}`, Buffer.from(`body ${i}`))
    pair.sender.start()
    await pair.settled()
    pair.feed.write('new', Buffer.alloc(0))
    pair.feed.remove('old-3')
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.ledger.onWire.size).toBe(0)
    expect(pair.feed.openObjects).toBe(0)
    expect(await pair.status()).toMatchObject({ state: 'idle', inFlight: 0, lastError: undefined })
  })

  test('sends a single change at once, without waiting for company', async () => {
    const pair = startPair()
    await settleTasks()
    const before = pair.clock.now()
    pair.feed.write('one', Buffer.from('1'))
    await settleTasks(10)
    expect(pair.missing()).toEqual([])
    expect(pair.clock.now()).toBe(before)
  })

  test('sends in one request what was written together, whatever the number of workers', async () => {
    const pair = startPair({ options: { workers: 5 } })
    await settleTasks()
    for (let i = 0; i < 40; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    await pair.settled()
    expect(frameCounts(pair)).toEqual([40])
  })

  test('fills batches from a backlog, up to their bounds', async () => {
    const pair = makePair({ options: { batchSize: 20, batchBytes: 1000, workers: 1 } })
    for (let i = 0; i < 60; i++) pair.feed.write(`small-${i}`, Buffer.from('x'))
    for (let i = 0; i < 4; i++) pair.feed.write(`middle-${i}`, Buffer.alloc(450, 1))
    pair.sender.start()
    await pair.settled()
    expect(frameCounts(pair)).toEqual([20, 20, 20, 2, 2])
  })

  test('gives every worker a run of neighbours, which are read and sent together', async () => {
    const pair = makePair({ options: { batchSize: 20, workers: 4 } })
    for (let i = 0; i < 80; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    pair.sender.start()
    await pair.settled()
    expect(frameCounts(pair)).toEqual([20, 20, 20, 20])
    for (const bytes of pair.transport.batches) {
      const seqs = decodeBatch(bytes).frames.map(({ seq }) => seq)
      expect(seqs).toEqual(seqs.map((_, at) => (seqs[0] ?? 0) + at))
    }
  })

  test('holds back what changes a slot that is on the wire, and nothing else', async () => {
    const pair = startPair({ options: { workers: 3 } })
    await settleTasks()
    const answered = Promise.withResolvers<void>()
    let batches = 0
    pair.transport.fault = async (call, phase) => {
      if (call === 'batch' && phase === 'before' && batches++ === 0) await answered.promise
    }
    pair.feed.write('contended', Buffer.from('first'))
    await settleTasks(8)
    pair.feed.write('contended', Buffer.from('second'))
    pair.feed.write('other', Buffer.from('third'))
    await settleTasks(8)
    const sent = (text: string): boolean =>
      pair.transport.batches.some((bytes) => carries(bytes, text))
    expect([sent('first'), sent('second'), sent('third')]).toEqual([true, false, true])
    answered.resolve()
    await pair.settled()
    expect(sent('second')).toBe(true)
    expect(pair.missing()).toEqual([])
  })

  test('keeps an idle pair of sites silent but for a sign of life now and then', async () => {
    const pair = startPair()
    pair.feed.write('one', Buffer.from('1'))
    await pair.settled()
    pair.transport.calls.length = 0
    // Once it is idle, both make durable how far they are.
    await advance(pair, 2000)
    expect(pair.transport.calls).toEqual(['batch'])
    expect([...pair.sink.marks.values()]).toMatchObject([{ through: 1 }])
    expect(pair.ledger.confirmed).toMatchObject({ through: 1 })
    for (let round = 1; round <= 3; round++) {
      await advance(pair, round === 1 ? 28_500 : 29_500)
      expect(pair.transport.calls).toHaveLength(round)
      await advance(pair, 500)
      expect(pair.transport.calls).toHaveLength(round + 1)
    }
    expect(pair.transport.calls.slice(1)).toEqual(['handshake', 'handshake', 'handshake'])
  })

  test('never reads the feed further than its window', async () => {
    const pair = startPair({ options: { queueSize: 50 } })
    await settleTasks()
    pair.transport.fault = (call, phase) => {
      if (call === 'batch' && phase === 'before') throw new RemoteUnreachableError('away')
    }
    for (let i = 0; i < 200; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    await runUntil(pair.clock, () => pair.transport.calls.length > 20)
    expect(pair.ledger.position()).toEqual({ low: 0, high: 50 })
    pair.transport.fault = () => undefined
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('sends only the newest of what was overwritten while the remote was away', async () => {
    const pair = startPair()
    await settleTasks()
    pair.transport.fault = () => {
      throw new RemoteUnreachableError('away')
    }
    for (let i = 0; i < 20; i++) {
      pair.feed.write('hot', Buffer.from(`version ${i}`))
      await settleTasks()
    }
    pair.transport.batches.length = 0
    pair.transport.fault = () => undefined
    await pair.settled()
    expect(pair.transport.batches.filter((bytes) => carries(bytes, 'version 19'))).toHaveLength(1)
    expect(pair.transport.batches.some((bytes) => carries(bytes, 'version 18'))).toBe(false)
    expect(pair.missing()).toEqual([])
  })

  test('does not send back what the remote made itself', async () => {
    const pair = startPair()
    await settleTasks()
    pair.feed.write('theirs', Buffer.from('x'), 'site-b')
    pair.feed.write('ours', Buffer.from('y'))
    await pair.settled()
    expect(frameCounts(pair)).toEqual([1])
    expect(pair.ledger.done.map(({ result }) => result).sort()).toEqual(['replicated', 'skipped'])
  })

  test('does send what the remote made before the two first met: it may have lost it since', async () => {
    const pair = makePair()
    pair.feed.write('theirs', Buffer.from('x'), 'site-b')
    pair.sender.start()
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('does send what the remote made in an earlier life', async () => {
    const pair = makePair({ peer: { incarnationSince: 1_800_000_000_000 } })
    pair.feed.write('theirs', Buffer.from('x'), 'site-b')
    pair.sender.start()
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('asks before it relays bytes that the remote may have from elsewhere', async () => {
    const pair = makePair()
    const body = Buffer.alloc(10_000, 'r')
    pair.feed.write('relayed', body, 'site-c')
    pair.feed.write('known', body, 'site-c')
    pair.sink.intercept = ({ mutation }) =>
      mutation.slot.kind === 'object' && mutation.slot.key === 'known'
        ? { result: 'duplicate' }
        : undefined
    pair.sender.start()
    await pair.settled()
    expect(pair.missing()).toEqual(['known'])
    const bodies = pair.transport.batches.filter((bytes) => bytes.includes(body.subarray(0, 5000)))
    expect(bodies).toHaveLength(1)
  })
})

describe('a remote that is away', () => {
  test('is probed after 100 ms, doubling up to the limit, and loses nothing', async () => {
    const pair = makePair({ options: { retryDelayMs: 2000 } })
    const probes: number[] = []
    pair.transport.fault = (call) => {
      if (call === 'handshake') probes.push(pair.clock.now())
      throw new RemoteUnreachableError('connection refused')
    }
    for (let i = 0; i < 10; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    pair.sender.start()
    await runUntil(pair.clock, () => probes.length === 12)
    const pauses = probes.slice(1).map((at, i) => at - (probes[i] ?? 0))
    for (const [i, pause] of pauses.entries()) {
      const base = Math.min(2000, 100 * 2 ** i)
      expect(pause).toBeGreaterThanOrEqual(base / 2)
      expect(pause).toBeLessThanOrEqual(base)
    }
    expect(await pair.status()).toMatchObject({
      state: 'unreachable',
      lastError: 'connection refused',
    })
    expect(pair.ledger.counters()).toMatchObject({ pending: 10, failed: 0 })
    pair.transport.fault = () => undefined
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('is logged once for each reason, not with every probe', async () => {
    const pair = startPair()
    pair.transport.fault = () => {
      throw new RemoteUnreachableError('connection refused')
    }
    pair.feed.write('one', Buffer.from('1'))
    await runUntil(pair.clock, () => pair.transport.calls.length > 10)
    expect(pair.lines.filter((line) => line.level === 'warn')).toHaveLength(1)
  })

  test('gets again what it may not have got when an answer was lost', async () => {
    const pair = startPair()
    await settleTasks()
    let lost = 3
    pair.transport.fault = (call, phase) => {
      if (call === 'batch' && phase === 'after' && lost-- > 0)
        throw new RemoteUnreachableError('cut')
    }
    for (let i = 0; i < 30; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.ledger.counters()).toMatchObject({ replicated: 30, failed: 0 })
    expect(pair.ledger.done.some(({ remote }) => remote === 'duplicate')).toBe(true)
  })

  test.each([401, 403, 404, 429, 503, 507])(
    'answering %i to everything makes no dead letter',
    async (status) => {
      const pair = startPair()
      await settleTasks()
      pair.transport.fault = () => {
        throw refused(status, 'wrong token')
      }
      pair.feed.write('one', Buffer.from('1'))
      await runUntil(pair.clock, () => pair.transport.calls.length > 20)
      expect((await pair.status()).state).toBe(
        status === 429 || status === 503 ? 'unreachable' : status === 507 ? 'full' : 'refused',
      )
      expect((await pair.status()).lastError).toBe(`remote returned ${status}: wrong token`)
      expect(pair.ledger.letters.size).toBe(0)
      pair.transport.fault = () => undefined
      await pair.settled()
      expect(pair.missing()).toEqual([])
      expect((await pair.status()).state).toBe('idle')
    },
  )

  test('answering 500 to every batch makes no dead letter, however long', async () => {
    const pair = startPair()
    await settleTasks()
    pair.transport.fault = (call) => {
      if (call === 'batch') throw refused(500, 'sick')
    }
    for (let i = 0; i < 40; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    await runUntil(pair.clock, () => pair.transport.calls.length > 200)
    expect(pair.ledger.counters()).toMatchObject({ pending: 40, failed: 0 })
    pair.transport.fault = () => undefined
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('is greeted again at once when it was restarted', async () => {
    const pair = startPair()
    pair.feed.write('one', Buffer.from('1'))
    await pair.settled()
    await pair.restartRemote()
    const before = pair.clock.now()
    pair.feed.write('two', Buffer.from('2'))
    await settleTasks(12)
    expect(pair.missing()).toEqual([])
    expect(pair.clock.now()).toBe(before)
  })
})

describe('a change', () => {
  test('that the remote refuses for its own sake becomes a dead letter at once, and is logged', async () => {
    const pair = startPair()
    pair.sink.intercept = ({ mutation }) =>
      mutation.slot.kind === 'object' && mutation.slot.key === 'bad/key'
        ? { result: 'refused', code: 'INVALID_NAME', message: 'no such name here' }
        : undefined
    pair.clock.advance(123)
    const place = pair.feed.write('bad/key', Buffer.from('x'))
    for (let i = 0; i < 20; i++) pair.feed.write(`good-${i}`, Buffer.from('x'))
    await pair.settled()
    expect([...pair.ledger.letters.values()]).toMatchObject([
      { seq: place.seq, attempts: 1, reason: expect.stringContaining('no such name here') },
    ])
    expect(pair.ledger.counters()).toMatchObject({ replicated: 20, failed: 1 })
    const [line] = pair.lines.filter((one) => one.message === 'Failed to replicate event')
    expect(line).toMatchObject({
      level: 'error',
      fields: {
        component: 'replication',
        event_id: `${pair.clock.now()}-box-bad/key`,
        error: 'remote returned 400: no such name here (INVALID_NAME)',
      },
    })
  })

  test.each([400, 413])(
    'whose batch is answered %i is found by halving, and buried after its attempts',
    async (status) => {
      const pair = startPair({ options: { workers: 2, retryAttempts: 3 } })
      await settleTasks()
      pair.transport.fault = (call, phase, bytes) => {
        if (call === 'batch' && phase === 'before' && carries(bytes, 'poison')) {
          throw refused(status, 'poisoned')
        }
      }
      for (let i = 0; i < 64; i++)
        pair.feed.write(`key-${i}`, Buffer.from(i === 33 ? 'poison' : 'x'))
      const alone = (): number =>
        pair.transport.batches.filter(
          (bytes) => carries(bytes, 'poison') && decodeBatch(bytes).frames.length === 1,
        ).length
      await pair.settled()
      expect(pair.missing()).toEqual(['key-33'])
      expect(alone()).toBe(3)
      expect([...pair.ledger.letters.values()]).toMatchObject([
        { attempts: 3, reason: `remote returned ${status}: poisoned` },
      ])
    },
  )

  test('that fails alone with 500 while others pass is buried, and not before others pass', async () => {
    const pair = startPair()
    await settleTasks()
    pair.transport.fault = (call, phase, bytes) => {
      if (call === 'batch' && phase === 'before' && carries(bytes, 'poison')) {
        throw refused(500, 'crashed on it')
      }
    }
    pair.feed.write('poisoned', Buffer.from('poison'))
    await runUntil(pair.clock, () => pair.transport.batches.length > 30)
    expect(pair.ledger.letters.size).toBe(0)
    for (let i = 0; i < 5; i++) {
      pair.feed.write(`other-${i}`, Buffer.from('x'))
      await runUntil(pair.clock, () => pair.ledger.counters().pending <= 1)
      pair.clock.advance(6000)
      await settleTasks()
    }
    await pair.settled()
    expect(pair.missing()).toEqual(['poisoned'])
    expect([...pair.ledger.letters.values()]).toMatchObject([{ attempts: 3 }])
  })

  test('that cannot be read here is buried after its attempts, while others pass', async () => {
    const pair = startPair()
    const load = pair.feed.loadChange.bind(pair.feed)
    pair.feed.loadChange = (place) => {
      if (place.slot.kind === 'object' && place.slot.key === 'rotten') throw new Error('damaged')
      return load(place)
    }
    pair.feed.write('rotten', Buffer.from('x'))
    for (let i = 0; i < 10; i++) {
      pair.feed.write(`good-${i}`, Buffer.from('x'))
      pair.clock.advance(3000)
      await settleTasks(8)
    }
    await pair.settled()
    expect(pair.missing()).toEqual(['rotten'])
    expect([...pair.ledger.letters.values()]).toMatchObject([{ reason: 'damaged' }])
  })

  test('that the remote wants later is kept and shown, while others pass', async () => {
    const pair = startPair()
    let full = true
    pair.sink.intercept = ({ mutation }) =>
      full && mutation.kind === 'put' && mutation.meta.size > 0
        ? { result: 'later', reason: 'its volume is full' }
        : undefined
    for (let i = 0; i < 300; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    await runUntil(pair.clock, () => pair.clock.now() > 1_700_000_060_000)
    pair.feed.remove('key-7')
    await settleTasks(10)
    expect(pair.sink.slots.has('o/box/key-7')).toBe(true)
    expect(await pair.status()).toMatchObject({ state: 'full', lastError: 'its volume is full' })
    expect(pair.ledger.counters()).toMatchObject({ pending: 299, failed: 0 })
    // A full remote is asked with a batch now and then, not with the whole backlog.
    pair.transport.batches.length = 0
    pair.clock.advance(30_000)
    await settleTasks(10)
    expect(frameCounts(pair).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(1300)
    // What is written now is not sent to it for nothing.
    pair.transport.batches.length = 0
    pair.feed.write('late', Buffer.from('x'))
    await settleTasks(10)
    expect(frameCounts(pair)).toEqual([])
    full = false
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect((await pair.status()).state).toBe('idle')
    expect(pair.sender.figures().links[0]?.tally.retries).toBeGreaterThan(299)
  })

  test('shows a remote that answers 507 as full, and probes it at most retry_delay apart', async () => {
    const pair = startPair({ options: { retryDelayMs: 2000, stallAfterMs: 60_000 } })
    await settleTasks()
    pair.transport.fault = (call, phase) => {
      if (call === 'batch' && phase === 'before') throw refused(507, 'no room')
    }
    pair.feed.write('one', Buffer.from('1'))
    await runUntil(pair.clock, () => pair.clock.now() > 1_700_000_030_000)
    expect(await pair.status()).toMatchObject({ state: 'full', stalledSince: undefined })
    pair.transport.calls.length = 0
    await advance(pair, 2000)
    expect(pair.transport.calls).toContain('batch')
    await advance(pair, 40_000)
    expect((await pair.status()).stalledSince).toBe(1_700_000_000_000)
    pair.transport.fault = () => undefined
    await pair.settled()
    expect(await pair.status()).toMatchObject({ state: 'idle', stalledSince: undefined })
    expect(pair.lines.map(({ message }) => message)).toContain(
      'Replication to this remote moves again',
    )
  })

  test('counts what the remote did with each change, and so does the remote', async () => {
    const pair = makePair()
    pair.feed.write('one', Buffer.from('1'))
    pair.feed.write('two', Buffer.from('22'))
    pair.feed.remove('one')
    pair.sender.start()
    await pair.settled()
    await pair.ledger.replay({ from: 0 }, { dryRun: false })
    await pair.settled()
    const counted = [
      { kind: 'put', result: 'applied', events: 1, bytes: 2 },
      { kind: 'put', result: 'duplicate', events: 1, bytes: 2 },
      { kind: 'delete', result: 'applied', events: 1, bytes: 0 },
      { kind: 'delete', result: 'duplicate', events: 1, bytes: 0 },
    ]
    const tallies = [pair.sender.figures().links[0]?.tally.results, pair.remote.figures().received]
    for (const tally of tallies) {
      expect(tally?.counts().filter(({ events }) => events > 0)).toEqual(counted)
    }
  })
})
