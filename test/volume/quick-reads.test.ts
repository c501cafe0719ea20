import { beforeEach, describe, expect, it } from 'vitest'
import type { DeviceSegment } from '../../src/device/device.ts'
import { QuickReads } from '../../src/volume/read/quick-reads.ts'
import { ManualClock } from '../s3/manual-clock.ts'

const content = Buffer.from('the bytes of a segment')

/** A segment in memory whose reads take as long as it is told. */
class TimedSegment implements DeviceSegment {
  readonly size = content.length
  readonly #clock: ManualClock
  takesMs = 0.002
  reads = 0

  constructor(clock: ManualClock) {
    this.#clock = clock
  }

  readNow(target: Uint8Array, position: number): number {
    this.reads++
    this.#clock.advance(this.takesMs)
    return content.copy(target, 0, position)
  }

  async read(): Promise<number> {
    throw new Error('nobody waits here')
  }

  async write(): Promise<void> {}
  async writeSynced(): Promise<void> {}
  async sync(): Promise<void> {}
  async trim(): Promise<void> {}
  async close(): Promise<void> {}
}

describe('Quick reads', () => {
  let clock: ManualClock
  let segment: TimedSegment
  let diskReads: number

  beforeEach(() => {
    clock = new ManualClock()
    segment = new TimedSegment(clock)
    diskReads = 0
  })

  function readsOver(seconds: number, reads: QuickReads): number {
    segment.reads = 0
    const end = clock.monotonic() + seconds * 1000
    while (clock.monotonic() < end) {
      reads.tryRead(segment, 0, 4)
      clock.advance(1)
    }
    return segment.reads
  }

  it('give the bytes at once, fewer only where the segment ends', () => {
    const reads = new QuickReads({}, clock)
    expect(reads.tryRead(segment, 4, 5)?.toString()).toBe('bytes')
    expect(reads.tryRead(segment, content.length - 7, 100)?.toString()).toBe('segment')
  })

  it('are left to another thread when they are large, or when the device has no such reads', () => {
    const reads = new QuickReads({}, clock)
    expect(reads.tryRead(segment, 0, 2 ** 20)).toBeUndefined()
    const slow: DeviceSegment = Object.assign(new TimedSegment(clock), { readNow: undefined })
    expect(reads.tryRead(slow, 0, 4)).toBeUndefined()
    expect(segment.reads).toBe(0)
    // Where there is no other thread, they are read here, up to a bound.
    const all = new QuickReads({}, clock, content.length)
    expect(all.tryRead(segment, 0, content.length)).toHaveLength(content.length)
    expect(all.tryRead(segment, 0, content.length + 1)).toBeUndefined()
  })

  it('take a twentieth of the time at most when everything comes from a disk, and all again once it does not', () => {
    const reads = new QuickReads({ diskReads: () => ++diskReads }, clock)
    segment.takesMs = 10
    const fromDisk = readsOver(10, reads)
    expect(fromDisk * segment.takesMs).toBeGreaterThan(400)
    expect(fromDisk * segment.takesMs).toBeLessThan(600)
    segment.takesMs = 0.002
    clock.advance(1000)
    expect(readsOver(1, reads)).toBeGreaterThan(990)
  })

  it('go on where the thread was merely kept from running, since nothing came from a disk', () => {
    const reads = new QuickReads({ diskReads: () => 7 }, clock)
    segment.takesMs = 0.2
    expect(readsOver(10, reads)).toBeGreaterThan(8000)
  })

  it('are bounded where slowness comes from what counts no disk reads', () => {
    const reads = new QuickReads({ diskReads: () => 7 }, clock)
    segment.takesMs = 10
    expect(readsOver(10, reads) * segment.takesMs).toBeLessThan(3000)
  })
})
