import { afterEach, describe, expect, test } from 'vitest'
import { decodeBatch } from '../../src/replication/wire/batch-codec.ts'
import { RemoteRefusedError } from '../../src/replication/wire/errors.ts'
import { runUntil, settleTasks } from './manual-clock.ts'
import { MemoryPair, type PairOptions } from './memory-pair.ts'
import { identityOf } from './memory-site.ts'

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

/** Step by step, so that what one timer begins has armed the next. */
async function advance(pair: MemoryPair, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) {
    pair.clock.advance(Math.min(500, ms - passed))
    await settleTasks()
  }
}

describe('after a restart or a change at the other end', () => {
  async function filled(): Promise<MemoryPair> {
    const pair = startPair()
    for (let i = 0; i < 50; i++) {
      pair.feed.write(`key-${i}`, Buffer.from('x'))
      if (i % 10 === 0) {
        await pair.settled()
        pair.clock.advance(1500)
      }
    }
    await pair.settled()
    pair.transport.batches.length = 0
    return pair
  }

  test('a sender that was restarted goes on from its position', async () => {
    const pair = await filled()
    await pair.restartSender()
    pair.feed.write('more', Buffer.from('x'))
    await pair.settled()
    expect(frameCounts(pair)).toEqual([1])
    expect(pair.ledger.counters().queued).toBe(51)
  })

  test('a remote that was started again is greeted again at once, without a word of trouble', async () => {
    const pair = await filled()
    for (let i = 0; i < 2; i++) {
      await advance(pair, 40_000)
      await pair.restartRemote()
      const before = pair.clock.now()
      pair.feed.write(`more-${i}`, Buffer.from('x'))
      await settleTasks(20)
      expect(pair.missing()).toEqual([])
      expect(pair.clock.now()).toBe(before)
    }
    await pair.restartRemote()
    await advance(pair, 40_000)
    expect(await pair.status()).toMatchObject({ state: 'idle', lastError: undefined })
    expect(pair.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([])
  })

  test('a remote that forgets this site after every greeting is not greeted in a hurry', async () => {
    const pair = startPair({ options: { retryDelayMs: 2000 } })
    await settleTasks()
    pair.transport.fault = (call) => {
      if (call === 'batch') throw refused(409, 'handshake first')
    }
    pair.feed.write('one', Buffer.from('1'))
    pair.transport.calls.length = 0
    await advance(pair, 10_000)
    expect(pair.transport.calls.length).toBeGreaterThan(4)
    expect(pair.transport.calls.length).toBeLessThan(40)
    expect((await pair.status()).lastError).toContain('handshake first')
  })

  test('an empty new volume at the address is filled from the start', async () => {
    const pair = await filled()
    pair.sink.slots.clear()
    pair.sink.marks.clear()
    await pair.restartRemote({ volumeId: 'ffffffffffffffffffffffffffffffff' })
    pair.feed.write('more', Buffer.from('x'))
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.ledger.confirmed?.volumeId).toBe('ffffffffffffffffffffffffffffffff')
    expect(pair.ledger.onWire.size).toBe(0)
  })

  test('a remote that lost its memory of this site is sent everything', async () => {
    const pair = await filled()
    pair.sink.slots.clear()
    pair.sink.marks.clear()
    await pair.restartRemote()
    pair.feed.write('more', Buffer.from('x'))
    await pair.settled()
    expect(pair.missing()).toEqual([])
  })

  test('a remote that fell back is sent everything', async () => {
    const pair = await filled()
    const [mark] = [...pair.sink.marks.values()]
    if (mark === undefined) throw new Error('a mark was stored')
    expect(mark.through).toBeGreaterThan(10)
    pair.sink.marks.set(mark.volumeId, { ...mark, through: 10 })
    for (let i = 10; i < 50; i++) pair.sink.slots.delete(`o/box/key-${i}`)
    await pair.restartRemote()
    pair.feed.write('more', Buffer.from('x'))
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.ledger.counters().queued).toBe(50 + 1 + 50)
  })

  test('a site that was rolled back says so loudly and sends everything', async () => {
    const pair = makePair()
    const [volumeId, incarnation] = ['site-a', 'aaaaaaaaaaaaaaaa'] as const
    const id = identityOf(volumeId).volumeId
    pair.sink.marks.set(id, { volumeId: id, incarnation, through: 900, epoch: 1, ended: false })
    for (let i = 0; i < 5; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    pair.sender.start()
    await pair.settled()
    expect(pair.missing()).toEqual([])
    const loud = pair.lines.filter((line) => line.level === 'warn')
    expect(loud.map((line) => line.message)).toEqual([
      'This site was set back to an older state: sending everything to the remote again',
    ])
    await pair.restartRemote()
    await pair.restartSender()
    pair.feed.write('more', Buffer.from('x'))
    await pair.settled()
    expect(pair.ledger.counters().queued, 'it is said once').toBe(6)
  })

  test.each([
    ['its own volume', { volumeId: 'same' }, 'this very site'],
    ['its own site id', { siteId: 'site-a' }, "this site's id"],
  ])('%s at the other end is refused in words', async (_what, peer, words) => {
    const pair = startPair({ peer, own: 'volumeId' in peer ? peer : {} })
    pair.feed.write('one', Buffer.from('1'))
    await runUntil(pair.clock, () => pair.transport.calls.length > 5)
    const status = await pair.status()
    expect(status.state).toBe('refused')
    expect(status.lastError).toContain(words)
    expect(pair.sink.slots.size).toBe(0)
  })

  test('a replay asked for sends everything again, what is on the wire once', async () => {
    const pair = await filled()
    await pair.ledger.replay({ from: 0 }, { dryRun: false })
    await pair.settled()
    expect(frameCounts(pair).reduce((sum, count) => sum + count, 0)).toBe(50)
    expect(pair.ledger.counters()).toMatchObject({ queued: 100, replicated: 100 })
  })
})

test('closing ends promptly with a remote that does not answer, and leaves all in the ledger', async () => {
  const pair = startPair()
  await settleTasks()
  pair.transport.fault = () => new Promise(() => undefined)
  for (let i = 0; i < 300; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
  await settleTasks(10)
  expect((await pair.status()).inFlight).toBeGreaterThan(0)
  await pair.sender.close()
  expect(pair.ledger.onWire.size).toBe(0)
  expect(pair.ledger.counters().pending).toBe(300)
})
