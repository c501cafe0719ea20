import { afterEach, describe, expect, test } from 'vitest'
import { RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import { runUntil, settleTasks } from './manual-clock.ts'
import { MemoryPair, type PairOptions } from './memory-pair.ts'

const pairs: MemoryPair[] = []
afterEach(async () => {
  await Promise.all(pairs.splice(0).map((pair) => pair.close()))
})

function makePair(options: PairOptions = {}): MemoryPair {
  const pair = new MemoryPair(options)
  pairs.push(pair)
  return pair
}

describe('a link whose own parts fail', () => {
  test('says so for as long as it lasts, tries again after a pause, and goes on', async () => {
    const pair = makePair()
    const take = pair.ledger.take.bind(pair.ledger)
    let failures = 0
    pair.ledger.take = async () => {
      failures++
      throw new Error('the index cannot be read')
    }
    pair.feed.write('key', Buffer.from('x'))
    pair.sender.start()
    await runUntil(pair.clock, () => failures === 3)
    await settleTasks()
    expect(await pair.status()).toMatchObject({
      state: 'failing',
      stateSince: 1_700_000_000_000,
      lastError: 'replication failed here: the index cannot be read',
      restarts: 3,
    })
    expect(pair.clock.now() - 1_700_000_000_000).toBe(10_000)
    pair.ledger.take = take
    await pair.settled()
    expect(pair.missing()).toEqual([])
    pair.clock.advance(20_000)
    expect(await pair.status()).toMatchObject({ state: 'idle', restarts: 3 })
  })

  test('ships what a worker held when it failed', async () => {
    const pair = makePair({ options: { workers: 1 } })
    const launched = pair.ledger.launched.bind(pair.ledger)
    pair.ledger.launched = () => {
      pair.ledger.launched = launched
      throw new Error('out of sorts')
    }
    for (let i = 0; i < 5; i++) pair.feed.write(`key-${i}`, Buffer.from('x'))
    pair.sender.start()
    await pair.settled()
    expect(pair.missing()).toEqual([])
    expect(pair.ledger.onWire.size).toBe(0)
    expect(await pair.status()).toMatchObject({ restarts: 1, inFlight: 0 })
  })

  test('closes while a part waits to be started again', async () => {
    const pair = new MemoryPair()
    pair.ledger.take = async () => {
      throw new Error('the index cannot be read')
    }
    pair.sender.start()
    await settleTasks()
    await pair.close()
  })
})

describe('an idle link', () => {
  test('says that its remote is gone within half a minute, and asks no more often before', async () => {
    const pair = makePair()
    pair.feed.write('key', Buffer.from('x'))
    pair.sender.start()
    await pair.settled()
    await runUntil(pair.clock, () => pair.clock.now() >= 1_700_000_060_000)
    const idleSince = pair.clock.now()
    const { length: asked } = pair.transport.calls
    expect((await pair.status()).state).toBe('idle')
    pair.transport.fault = () => {
      throw new RemoteUnreachableError('it is gone', { facts: {} })
    }
    await runUntil(pair.clock, () => pair.transport.calls.length > asked)
    await settleTasks()
    expect(pair.clock.now() - idleSince).toBeLessThanOrEqual(30_000)
    expect(await pair.status()).toMatchObject({ state: 'unreachable', lastError: 'it is gone' })
    pair.transport.fault = () => undefined
    await runUntil(pair.clock, () => pair.transport.calls.length > asked + 2)
    await settleTasks()
    expect((await pair.status()).state).toBe('idle')
  })
})
