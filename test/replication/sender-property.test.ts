import fc from 'fast-check'
import { expect, test } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { decodeBatch } from '../../src/replication/wire/batch-codec.ts'
import { RemoteRefusedError, RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import { decodeLabel } from '../../src/store/model/mutation.ts'
import { slotText } from '../../src/store/model/slot.ts'
import { settleTasks } from './manual-clock.ts'
import { MemoryPair } from './memory-pair.ts'

const statuses = [401, 403, 409, 429, 500, 503, 507]

/** Tells how often two requests that carry the same slot, or an older change of it, were on the wire. */
function watchOrder(pair: MemoryPair): { readonly faults: string[] } {
  const onWire = new Map<string, number>()
  const newest = new Map<string, number>()
  const faults: string[] = []
  const send = pair.transport.sendBatch.bind(pair.transport)
  pair.transport.sendBatch = async (pieces, signal) => {
    const frames = decodeBatch(Buffer.concat(pieces)).frames.map((frame) => ({
      seq: frame.seq,
      slot: slotText(decodeLabel(frame.label).slot),
    }))
    for (const { slot, seq } of frames) {
      if (onWire.has(slot)) faults.push(`${slot} twice on the wire`)
      if ((newest.get(slot) ?? 0) > seq) faults.push(`${slot} out of order`)
      onWire.set(slot, seq)
      newest.set(slot, seq)
    }
    try {
      return await send(pieces, signal)
    } finally {
      for (const { slot } of frames) onWire.delete(slot)
    }
  }
  return { faults }
}

/** Random faults in every call, until `calm`. */
function disturb(pair: MemoryPair, seed: number): { calm: boolean } {
  const random = seededRandom(seed)
  const weather = { calm: false }
  const strength = 0.05 + random.fraction() * 0.5
  pair.transport.fault = async (call, phase, bytes) => {
    if (call === 'batch' && phase === 'before' && bytes?.includes(Buffer.from('poison-400'))) {
      throw new RemoteRefusedError({ status: 400, remoteCode: '', message: 'poisoned' })
    }
    if (weather.calm) return
    for (let left = randomBelow(random, 3); left > 0; left--) await settleTasks(1)
    if (random.fraction() > strength) return
    if (random.fraction() < 0.5) throw new RemoteUnreachableError('cut')
    const status = statuses[randomBelow(random, statuses.length)] ?? 503
    throw new RemoteRefusedError({ status, remoteCode: '', message: 'stormy' })
  }
  pair.sink.intercept = ({ mutation }) => {
    const key = mutation.slot.kind === 'object' ? mutation.slot.key : ''
    if (key.startsWith('refused')) return { result: 'refused', code: 'NO', message: 'never' }
    if (weather.calm || random.fraction() > 0.05) return undefined
    return { result: 'later', reason: 'not now' }
  }
  return weather
}

/** Writes, overwrites, deletes, restarts of both sides, and replays, while time goes by. */
async function live(pair: MemoryPair, seed: number): Promise<void> {
  const random = seededRandom(seed)
  for (let step = 0; step < 60; step++) {
    const key = `key-${randomBelow(random, 25)}`
    const dice = random.fraction()
    if (dice < 0.6) pair.feed.write(key, Buffer.alloc(randomBelow(random, 40), step))
    else if (dice < 0.75) pair.feed.remove(key)
    else if (dice < 0.78) pair.feed.write(`refused-${step}`, Buffer.from('x'))
    else if (dice < 0.8) pair.feed.write(`poison-${step}`, Buffer.from('poison-400'))
    else if (dice < 0.82) await pair.restartRemote()
    else if (dice < 0.84) await pair.restartSender()
    else if (dice < 0.86)
      await pair.ledger.replay({ from: randomBelow(random, 40) }, { dryRun: false })
    else pair.clock.advance(randomBelow(random, 3000))
    await settleTasks(randomBelow(random, 3))
  }
}

test('whatever goes wrong: nothing is lost, slots stay in order, each dead letter is deserved', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const pair = new MemoryPair({
        seed,
        options: { workers: 3, batchSize: 7, queueSize: 20, retryDelayMs: 1000 },
      })
      const { faults } = watchOrder(pair)
      const weather = disturb(pair, seed)
      pair.sender.start()
      await live(pair, seed + 1)
      weather.calm = true
      await pair.settled(3_600_000)
      expect(faults).toEqual([])
      const deserved = /^(poison|refused)-/
      expect(pair.missing().filter((key) => !deserved.test(key))).toEqual([])
      for (const { slot } of pair.ledger.letters.values()) {
        expect(slot.kind === 'object' && slot.key).toMatch(deserved)
      }
      const { queued, replicated, failed, superseded, pending } = pair.ledger.counters()
      expect({ pending, sum: replicated + failed + superseded }).toEqual({
        pending: 0,
        sum: queued,
      })
      expect(pair.ledger.onWire.size).toBe(0)
      expect(pair.feed.openObjects).toBe(0)
      await pair.close()
    }),
    { numRuns: 40 },
  )
})
