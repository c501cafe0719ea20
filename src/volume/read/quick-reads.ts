/**
 * Reads in the calling thread. What the system has in memory is read in less time than it takes to hand
 * the work to another thread; what has to come from the disk would hold up everybody else. Nobody can
 * tell beforehand, so slow reads are paid for out of an allowance of time that fills up slowly, and
 * while it is empty nothing is read this way.
 */
import type { Clock } from '../../base/clock.ts'
import type { Device, DeviceSegment } from '../../device/device.ts'

/** Larger ones are worth a thread, where there is one to read in. */
const quickBytesMaxDefault = 32 * 1024
/** For each 32 KiB. A copy out of memory takes a tenth of this; a disk, longer. */
const slowMs = 0.1
const slowBytes = 32 * 1024
/** What slow reads may take of the thread's time. */
const slowShare = 0.05
const allowanceMsMax = 20
/** What is charged of a read that was slow though nothing came from a disk: the thread had lost its turn. */
const chargeWithoutDisk = 0.2

export class QuickReads {
  readonly #clock: Clock
  readonly #device: Pick<Device, 'diskReads'>
  readonly #bytesMax: number
  #allowanceMs = allowanceMsMax
  /** When the allowance was last filled up. */
  #filledAt: number
  #diskReads: number | undefined

  constructor(
    device: Pick<Device, 'diskReads'>,
    clock: Clock,
    bytesMax: number = quickBytesMaxDefault,
  ) {
    this.#bytesMax = bytesMax
    this.#device = device
    this.#clock = clock
    this.#filledAt = clock.monotonic()
    this.#diskReads = device.diskReads?.()
  }

  /**
   * Up to `length` bytes from `offset`, fewer where the segment ends; undefined when they are to be read
   * in another thread. The handle must be acquired.
   */
  tryRead(
    handle: Pick<DeviceSegment, 'readNow'>,
    offset: number,
    length: number,
  ): Buffer | undefined {
    if (length > this.#bytesMax || handle.readNow === undefined) return undefined
    const startedAt = this.#clock.monotonic()
    if (this.#allowanceMs <= 0 && !this.#fillUp(startedAt)) return undefined
    const bytes = Buffer.allocUnsafe(length)
    const count = handle.readNow(bytes, offset)
    const tookMs = this.#clock.monotonic() - startedAt
    if (tookMs > slowMs * Math.max(1, length / slowBytes)) this.#pay(startedAt, tookMs)
    if (count === undefined) return undefined
    return count === length ? bytes : bytes.subarray(0, count)
  }

  #pay(startedAt: number, tookMs: number): void {
    this.#fillUp(startedAt)
    this.#allowanceMs -= this.#cameFromDisk() ? tookMs : tookMs * chargeWithoutDisk
  }

  /** Something did since this was last asked, where anybody can tell. */
  #cameFromDisk(): boolean {
    const before = this.#diskReads
    this.#diskReads = this.#device.diskReads?.()
    return before === undefined || before !== this.#diskReads
  }

  #fillUp(now: number): boolean {
    const gainedMs = (now - this.#filledAt) * slowShare
    this.#allowanceMs = Math.min(allowanceMsMax, this.#allowanceMs + gainedMs)
    this.#filledAt = now
    return this.#allowanceMs > 0
  }
}
