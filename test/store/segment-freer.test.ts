import { expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { OpenWriters } from '../../src/store/bodies/blob-writer.ts'
import { SegmentFreer } from '../../src/store/space/segment-freer.ts'
import { Accounts } from '../../src/store/tables/accounts.ts'
import type { SegmentInfo } from '../../src/volume/volume.ts'

const dead: SegmentInfo = {
  segment: 9,
  generation: 18,
  stream: 'bulk',
  state: 'sealed',
  hasFooter: true,
  bytes: 65_536,
  filledBytes: 65_536,
}

test('nothing that a put refers to is freed while its failed record may still be found', async () => {
  const freed: number[] = []
  const volume = {
    logMayHoldFailed: true,
    segments: () => [dead],
    freeSegment: async (segment: number) => {
      freed.push(segment)
    },
  }
  const index = await MemoryIndex.open({ disk: new MemoryIndexDisk() })
  const accounts = await Accounts.load(index, [dead])
  const freer = new SegmentFreer({
    volume,
    accounts,
    writers: new OpenWriters(),
    logger: silentLogger,
  })
  freer.look()
  expect(freed).toEqual([])
  volume.logMayHoldFailed = false
  freer.look()
  await freer.stop()
  expect(freed).toEqual([9])
  // An upload that ends behind the store frees nothing of a closed volume.
  volume.logMayHoldFailed = true
  freer.look()
  volume.logMayHoldFailed = false
  freer.look()
  expect(freed).toEqual([9])
  await index.close()
})
