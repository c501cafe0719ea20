import { expect, it } from 'vitest'
import { StorageFullError } from '../../src/store/model/errors.ts'
import { Admission } from '../../src/store/write/admission.ts'
import { ReservedRoom } from '../../src/store/write/reserved-room.ts'
import { ManualClock } from '../s3/manual-clock.ts'

const kib = 1024
const mib = 1024 * kib

/** Has `room` bytes, and nothing that can be cleaned. */
function fullSite(room: number) {
  const clock = new ManualClock()
  const health = { writable: true, reason: undefined }
  const admission = new Admission(
    {
      limits: { inlineBytesMax: 256 * kib },
      isRoomFor: (bytes) => bytes <= room,
      isIndexShort: () => false,
      health: () => health,
    },
    clock,
  )
  return {
    clock,
    admission,
    reserved: new ReservedRoom({ admission, makeRoom: async () => false }),
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** What comes of a delete that asks for room. */
function asked({ reserved }: ReturnType<typeof fullSite>): { outcome: string } {
  const asking = { outcome: 'waits' }
  Promise.resolve(reserved.forDelete()).then(
    () => {
      asking.outcome = 'has room'
    },
    (thrown: unknown) => {
      asking.outcome = thrown instanceof StorageFullError ? 'full' : String(thrown)
    },
  )
  return asking
}

it('a delete waits for a write under way that was promised the room, and gets what it did not need', async () => {
  const site = fullSite(64 * kib)
  const write = site.admission.promise(mib)
  const asking = asked(site)
  await settled()
  expect(asking.outcome).toBe('waits')
  write.release()
  await settled()
  expect(asking.outcome).toBe('has room')
})

it('a delete waits for a write that does not end no longer than its patience lasts', async () => {
  const site = fullSite(64 * kib)
  site.admission.promise(mib)
  const asking = asked(site)
  for (let passed = 0; passed < 14_000; passed += 100) {
    site.clock.advance(100)
    await settled()
  }
  expect(asking.outcome).toBe('waits')
  for (let passed = 0; passed < 2000; passed += 100) {
    site.clock.advance(100)
    await settled()
  }
  expect(asking.outcome).toBe('full')
})

it('a delete is refused at once where there is no room and nobody writes', async () => {
  const asking = asked(fullSite(512))
  await settled()
  expect(asking.outcome).toBe('full')
})
