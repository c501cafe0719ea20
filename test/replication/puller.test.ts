import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { defaultReplicationOptions } from '../../src/replication/options.ts'
import { Puller } from '../../src/replication/receive/puller.ts'
import type { PurgeMutation, PutMutation } from '../../src/store/model/mutation.ts'
import type { PeerMark } from '../../src/store/model/object-store.ts'
import { makeVersion, type Version } from '../../src/store/model/version.ts'
import { ManualClock, settleTasks } from './manual-clock.ts'
import { MemorySink } from './memory-sink.ts'

const body = Buffer.alloc(1000, 7)
const ticket = 'ab'.repeat(32)
const versionAt = (ms: number, site: string): Version =>
  makeVersion(1_700_000_000_000 + ms, 0, site)

const put: PutMutation = {
  kind: 'put',
  slot: { kind: 'object', bucket: 'box', key: 'large', versionId: 'null' },
  version: versionAt(5, 'a'),
  context: [],
  meta: {
    size: body.length,
    etag: hash('md5', body, 'hex'),
    contentHash: { algorithm: 'sha256', digest: hash('sha256', body, 'buffer') },
    lastModified: 0,
    headers: {},
    userMetadata: {},
  },
}

const purgeOf = (version: Version, bucket = 'box', context: Version[] = []): PurgeMutation => {
  return { kind: 'purge', slot: { kind: 'floor', bucket }, version, context }
}

async function* cutInTheMiddle(): AsyncGenerator<Uint8Array> {
  yield body.subarray(0, 400)
  throw new Error('cut')
}

function openPuller(
  sink: MemorySink,
  clock = new ManualClock(),
): { readonly puller: Puller; readonly outcomes: string[] } {
  const outcomes: string[] = []
  const puller = new Puller({
    sink,
    transport: {
      fetchRange: () => Promise.reject(new Error('unused')),
      close: async () => undefined,
    },
    rangeBytes: 100,
    abandonedAfterMs: defaultReplicationOptions.abandonedAfterMs,
    clock,
    random: systemRandom,
    logger: silentLogger,
    onOutcome: ({ volumeId }, { result }) => outcomes.push(`${volumeId}: ${result}`),
  })
  return { puller, outcomes }
}

const offer = { volumeId: 'v', seq: 1, mutation: put, origin: 'http://a', ticket, pushed: true }
const range = { ticket, start: 0, end: body.length, size: body.length }

test('what a purge had seen is given up, whatever has been pushed of it', async () => {
  const sink = new MemorySink()
  const { puller, outcomes } = openPuller(sink)
  puller.accept(offer)
  await expect(puller.push(range, cutInTheMiddle())).rejects.toThrow('cut')
  await puller.noticed(purgeOf(versionAt(9, 'b')))
  await puller.noticed(purgeOf(versionAt(9, 'a'), 'other'))
  await puller.noticed(purgeOf(versionAt(3, 'a')))
  expect([outcomes, sink.uploads.size]).toEqual([[], 1])
  await puller.noticed(purgeOf(versionAt(9, 'b'), 'box', [put.version]))
  expect([outcomes, sink.uploads.size]).toEqual([['v: superseded'], 0])
  expect(puller.isBusy).toBe(false)
  await puller.close()
})

test('what a newer write of this site takes the place of is let go at once, and asked about again', async () => {
  const sink = new MemorySink()
  const { puller, outcomes } = openPuller(sink)
  puller.accept(offer)
  await expect(puller.push(range, cutInTheMiddle())).rejects.toThrow('cut')
  const [kept] = sink.uploads.values()
  kept?.overtake()
  await settleTasks()
  expect([outcomes, sink.uploads.size, puller.isBusy]).toEqual([['v: again'], 0, false])

  let overtake = (): void => undefined
  puller.accept({ ...offer, seq: 2 })
  const arriving = puller.push(
    range,
    (async function* (): AsyncGenerator<Uint8Array> {
      yield body.subarray(0, 400)
      overtake = () => [...sink.uploads.values()][0]?.overtake()
      await new Promise(() => undefined)
    })(),
  )
  arriving.catch(() => undefined) // looked at below
  await settleTasks()
  overtake()
  await expect(arriving).rejects.toMatchObject({ code: 'TICKET_GONE' })
  expect([outcomes, sink.uploads.size]).toEqual([['v: again', 'v: again'], 0])
  expect(puller.isBusy).toBe(false)
  await puller.close()
})

test('what the sender of a link that has ended had offered is let go, unless another offers it too', async () => {
  const sink = new MemorySink()
  const { puller, outcomes } = openPuller(sink)
  puller.accept(offer)
  puller.accept({ ...offer, volumeId: 'w', ticket: 'cd'.repeat(32) })
  await expect(puller.push(range, cutInTheMiddle())).rejects.toThrow('cut')
  await puller.takeBack('v')
  await expect(puller.push(range, cutInTheMiddle())).rejects.toMatchObject({ code: 'TICKET_GONE' })
  expect([outcomes, sink.uploads.size]).toEqual([[], 1])
  await puller.takeBack('w')
  expect([outcomes, sink.uploads.size, puller.isBusy]).toEqual([[], 0, false])
  await puller.close()
})

describe('what was begun', () => {
  const hour = 3_600_000
  let sink: MemorySink
  let clock: ManualClock
  let puller: Puller
  let outcomes: string[]
  beforeEach(async () => {
    sink = new MemorySink()
    clock = new ManualClock()
    open()
    await sink.apply([], markOf('v'))
    puller.accept(offer)
    await expect(puller.push(range, cutInTheMiddle())).rejects.toThrow('cut')
  })
  afterEach(() => puller.close())

  function markOf(volumeId: string): PeerMark {
    return { volumeId, incarnation: 'first', through: 0, epoch: 1, ended: false }
  }

  function open(): void {
    const opened = openPuller(sink, clock)
    puller = opened.puller
    outcomes = opened.outcomes
  }

  /** What the senders say once a minute, for so long. */
  async function pass(ms: number, say: () => unknown = () => undefined): Promise<void> {
    for (let passed = 0; passed < ms; passed += 60_000) {
      say()
      clock.advance(60_000)
      await settleTasks(1)
    }
  }

  test('is kept as long as its sender asks for it, and given up when it does not any more', async () => {
    await pass(3 * hour, () => [puller.heard('v'), puller.isPulling('v', 1)])
    expect([sink.uploads.size, outcomes]).toEqual([1, []])
    await pass(1.3 * hour, () => puller.heard('v'))
    expect([sink.uploads.size, outcomes]).toEqual([0, ['v: again']])
    expect(puller.isBusy).toBe(false)
  })

  test('is kept for a day when its sender is away, whatever others say, and not so long in a full volume', async () => {
    await pass(20 * hour, () => puller.heard('w'))
    expect(sink.uploads.size).toBe(1)
    // It was away: now it has its time to ask.
    await pass(0.9 * hour, () => puller.heard('v'))
    expect(sink.uploads.size).toBe(1)
    sink.isFull = true
    await pass(0.2 * hour)
    expect(sink.uploads.size).toBe(0)
  })

  test('is given up after a restart, unless a sender that is in touch offers it anew', async () => {
    await puller.close()
    open()
    await pass(0.9 * hour, () => puller.heard('v'))
    puller.accept({ ...offer, seq: 2 })
    await pass(2 * hour, () => [puller.heard('v'), puller.isPulling('v', 2)])
    expect(sink.uploads.size).toBe(1)
    await puller.close()
    open()
    await pass(1.3 * hour, () => puller.heard('v'))
    expect(sink.uploads.size).toBe(0)
  })

  test('is not given up after a restart for what another sender says while its own is away', async () => {
    await sink.apply([], markOf('w'))
    await puller.close()
    open()
    await pass(20 * hour, () => puller.heard('w'))
    expect(sink.uploads.size).toBe(1)
    // It is back, and has its time to offer it anew.
    await pass(0.9 * hour, () => [puller.heard('v'), puller.heard('w')])
    expect(sink.uploads.size).toBe(1)
    await pass(0.4 * hour, () => [puller.heard('v'), puller.heard('w')])
    expect(sink.uploads.size).toBe(0)
  })

  test('is given up after a restart when those that ship here do not want it, without one that has cut its link', async () => {
    await sink.apply([], markOf('w'))
    await sink.endLink(markOf('w'))
    await puller.close()
    open()
    await pass(1.3 * hour, () => puller.heard('v'))
    expect(sink.uploads.size).toBe(0)
  })

  test('is given up a day after a restart when none of its senders has come back', async () => {
    await sink.apply([], markOf('w'))
    await puller.close()
    open()
    await pass(23 * hour, () => puller.heard('w'))
    expect(sink.uploads.size).toBe(1)
    await pass(2 * hour, () => puller.heard('w'))
    expect(sink.uploads.size).toBe(0)
  })
})
