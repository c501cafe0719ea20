import { expect, it } from 'vitest'
import { StorageFullError } from '../../src/store/model/errors.ts'
import { Admission, type RoomMaker } from '../../src/store/write/admission.ts'
import type { RoomPromise } from '../../src/store/write/room-promise.ts'
import { ManualClock } from '../s3/manual-clock.ts'

const kib = 1024
const mib = 1024 * kib
const small = 4 * kib
const large = 4 * mib

/** A volume by its figures: what can be had at once, what by cleaning, and what is live for good. */
class Site implements RoomMaker {
  readonly clock = new ManualClock()
  readonly admission: Admission
  room = 0
  /** What the cleaner gains with each segment, as long as there is something. */
  gains: number[] = []
  /** Dead, where cleaning does not reach it. */
  unreachable = 0
  /** The cleaner is at work on a segment. */
  underWay: Promise<unknown> | undefined

  constructor() {
    const health = { writable: true, reason: undefined }
    this.admission = new Admission(
      {
        limits: { inlineBytesMax: 256 * kib },
        isRoomFor: (bytes) => bytes <= this.room,
        isIndexShort: () => false,
        health: () => health,
      },
      this.clock,
    )
    this.admission.cleanedBy(this)
  }

  get roomAtMost(): number {
    return this.room + this.gains.reduce((sum, gain) => sum + gain, 0) + this.unreachable
  }

  canReclaim(bytes: number): boolean {
    return bytes <= this.roomAtMost - this.unreachable
  }

  lookFor(): void {
    // Nothing is done in the background here.
  }

  async makeRoom(): Promise<boolean> {
    await settled()
    const gain = this.gains.shift()
    this.room += gain ?? 0
    return gain !== undefined
  }

  /** Has what it was promised on the disk. */
  finish(promise: RoomPromise, bytes: number): void {
    promise.spend(bytes)
    this.room -= bytes
    promise.release()
  }

  /** What comes of a write, in words. */
  write(bytes: number): { outcome: string; promise: RoomPromise | undefined } {
    const write = { outcome: 'waits', promise: undefined as RoomPromise | undefined }
    const admitted = (async () => await this.admission.admit(bytes))()
    admitted.then(
      (promise) => {
        write.promise = promise
        write.outcome = 'admitted'
      },
      (thrown: unknown) => {
        write.outcome = thrown instanceof StorageFullError ? 'full' : String(thrown)
      },
    )
    return write
  }

  async pass(ms: number): Promise<void> {
    await settled()
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left))
      await settled()
    }
  }
}

/** Until every promise that can settle has. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

it('a write waits for those under way as long as one after the other ends, however long they take', async () => {
  const site = new Site()
  site.room = 8 * large
  const others = Array.from({ length: 8 }, () => site.admission.promise(large))
  site.unreachable = 2 * large
  const write = site.write(large)
  for (const other of others.slice(0, 7)) {
    await site.pass(8000)
    expect(write.outcome).toBe('waits')
    other.spend(large)
    site.room -= large
    other.release()
  }
  // What they have replaced is dead now.
  site.gains = [2 * large]
  await site.pass(1000)
  expect(write.outcome).toBe('admitted')
})

it('a write for which nothing is gained is refused in the end, and at the same moment all that wait with it', async () => {
  const site = new Site()
  site.room = 5 * mib
  site.unreachable = large
  const other = site.admission.promise(large)
  const writes = Array.from({ length: 20 }, () => site.write(large))
  await site.pass(10_000)
  expect(writes.map(({ outcome }) => outcome)).toEqual(writes.map(() => 'waits'))
  await site.pass(6000)
  expect(writes.map(({ outcome }) => outcome)).toEqual(writes.map(() => 'full'))
  other.release()
})

it('a write waits for the segment that is being cleaned, whose live bytes count twice meanwhile', async () => {
  const site = new Site()
  site.unreachable = 8 * mib
  const cleaning = Promise.withResolvers<void>()
  site.underWay = cleaning.promise
  const write = site.write(large)
  await site.pass(2000)
  expect(write.outcome).toBe('waits')
  site.room = 8 * mib
  site.underWay = undefined
  cleaning.resolve()
  await settled()
  expect(write.outcome).toBe('admitted')
})

it('a write that waits for a segment is refused when cleaning it gives nothing and no other one can be', async () => {
  const site = new Site()
  site.unreachable = 8 * mib
  const cleaning = Promise.withResolvers<void>()
  site.underWay = cleaning.promise
  const write = site.write(large)
  await site.pass(2000)
  site.underWay = undefined
  cleaning.resolve()
  await settled()
  expect(write.outcome).toBe('full')
})

it('a write that is larger than all that is not live is refused at once, whatever others are promised', async () => {
  const site = new Site()
  site.room = 8 * mib
  site.unreachable = mib
  const other = site.admission.promise(large)
  const write = site.write(9 * mib)
  await settled()
  expect(write.outcome).toBe('full')
  other.release()
  expect(site.write(small).outcome).toBe('waits')
  await settled()
})

it('a small write does not stand behind large ones that wait for room', async () => {
  const site = new Site()
  site.room = 5 * mib
  site.unreachable = 10 * mib
  const other = site.admission.promise(large)
  const big = Array.from({ length: 5 }, () => site.write(large))
  await settled()
  const little = Array.from({ length: 5 }, () => site.write(small))
  await settled()
  expect(big.map(({ outcome }) => outcome)).toEqual(big.map(() => 'waits'))
  expect(little.map(({ outcome }) => outcome)).toEqual(little.map(() => 'admitted'))
  other.release()
})

it('a large write gets its room although small ones want all that is gained', async () => {
  const site = new Site()
  site.gains = Array.from({ length: 60 }, () => 256 * kib)
  const write = site.write(large)
  const ever = async (): Promise<void> => {
    for (let at = 0; at < 1000 && write.outcome === 'waits'; at++) {
      const little = Array.from({ length: 8 }, () => site.write(64 * kib))
      await settled()
      for (const { promise } of little) if (promise !== undefined) site.finish(promise, 64 * kib)
    }
  }
  await ever()
  await settled()
  expect(write.outcome).toBe('admitted')
})

it('writes get their room in the order in which they came', async () => {
  const site = new Site()
  site.gains = [large, large, large, large, large, large]
  const order: number[] = []
  const writes = [3, 1, 2].map(async (mebibytes, at) => {
    await site.admission.admit(mebibytes * mib)
    order.push(at)
  })
  await Promise.all(writes)
  expect(order).toEqual([0, 1, 2])
})
