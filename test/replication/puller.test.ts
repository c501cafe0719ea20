import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Puller } from '../../src/replication/puller.ts'
import type { PurgeMutation, PutMutation } from '../../src/store/mutation.ts'
import { makeVersion, type Version } from '../../src/store/version.ts'
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

function openPuller(sink: MemorySink): { readonly puller: Puller; readonly outcomes: string[] } {
  const outcomes: string[] = []
  const puller = new Puller({
    sink,
    transport: {
      fetchRange: () => Promise.reject(new Error('unused')),
      close: async () => undefined,
    },
    rangeBytes: 100,
    clock: new ManualClock(),
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
