import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Puller } from '../../src/replication/puller.ts'
import type { PurgeMutation, PutMutation } from '../../src/store/mutation.ts'
import { makeVersion, type Version } from '../../src/store/version.ts'
import { ManualClock } from './manual-clock.ts'
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

test('what a purge had seen is given up, whatever has been pushed of it', async () => {
  const sink = new MemorySink()
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
    onOutcome: (_offer, { result }) => outcomes.push(result),
  })
  puller.accept({ volumeId: 'v', seq: 1, mutation: put, origin: 'http://a', ticket, pushed: true })
  const range = { ticket, start: 0, end: body.length, size: body.length }
  await expect(puller.push(range, cutInTheMiddle())).rejects.toThrow('cut')
  await puller.noticed(purgeOf(versionAt(9, 'b')))
  await puller.noticed(purgeOf(versionAt(9, 'a'), 'other'))
  await puller.noticed(purgeOf(versionAt(3, 'a')))
  expect([outcomes, sink.uploads.size]).toEqual([[], 1])
  await puller.noticed(purgeOf(versionAt(9, 'b'), 'box', [put.version]))
  expect([outcomes, sink.uploads.size]).toEqual([['superseded'], 0])
  expect(puller.isBusy).toBe(false)
  await puller.close()
})
