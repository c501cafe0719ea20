/**
 * One segment of a {@link SlotDevice}. What was never written in it reads as zeros, whatever the
 * slot's last segment left there. Growth is written in whole blocks.
 */
import { assert } from '../base/assert.ts'
import type { DeviceSegment } from './device.ts'
import { type BackingHandle, lengthOf } from './slot-backing.ts'
import { blockBytes } from './slot-frame.ts'
import type { SlotTable } from './slot-table.ts'

/** How far ahead the table notes what is written, so that few groups have to wait for it. */
const noteAheadBytes = 4 * 2 ** 20
const zeros = Buffer.alloc(2 ** 20)

/** What all handles of one segment share. */
export class SlotUse {
  readonly slot: number
  /** Where the slot begins on the device. */
  readonly at: number
  size: number
  /** Behind this everything reads as zeros. */
  written: number
  /** A write that touches what others write, too: they wait for it. */
  barrier: Promise<void> = Promise.resolve()
  removed = false

  constructor(options: {
    readonly slot: number
    readonly at: number
    readonly size: number
    readonly written: number
  }) {
    this.slot = options.slot
    this.at = options.at
    this.size = options.size
    this.written = options.written
  }
}

export class SlotSegment implements DeviceSegment {
  readonly #use: SlotUse
  readonly #handle: BackingHandle
  readonly #table: SlotTable
  #closed = false

  constructor(use: SlotUse, handle: BackingHandle, table: SlotTable) {
    this.#use = use
    this.#handle = handle
    this.#table = table
  }

  get size(): number {
    return this.#use.size
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const wanted = lengthOf(buffers)
    this.#check(position, wanted)
    if (wanted === 0) return
    const use = this.#use
    const end = position + wanted
    if (end <= use.written) {
      await use.barrier
      return await this.#handle.write(buffers, use.at + position)
    }
    const gapAt = use.written
    use.written = Math.min(use.size, Math.ceil(end / blockBytes) * blockBytes)
    const tail = zeros.subarray(0, use.written - end)
    if (position <= gapAt && tail.length === 0) {
      await use.barrier
      return await this.#handle.write(buffers, use.at + position)
    }
    const grown = use.barrier.then(async () => {
      await this.#writeZeros(gapAt, position)
      await this.#handle.write([...buffers, tail], use.at + position)
    })
    // Whoever waits for it has an outcome of its own.
    use.barrier = grown.catch(() => undefined)
    await grown
  }

  async writeSynced(buffers: readonly Uint8Array[], position: number): Promise<void> {
    await this.write(buffers, position)
    await this.sync()
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const { length, stored } = this.#extentOf(target, position)
    if (stored > 0) {
      const count = await this.#handle.read(target.subarray(0, stored), this.#use.at + position)
      if (count < stored) return count
    }
    target.fill(0, stored, length)
    return length
  }

  readNow(target: Uint8Array, position: number): number | undefined {
    const { length, stored } = this.#extentOf(target, position)
    if (stored > 0) {
      const count = this.#handle.readNow?.(target.subarray(0, stored), this.#use.at + position)
      if (count === undefined || count < stored) return count
    }
    target.fill(0, stored, length)
    return length
  }

  /** How much of `target` is filled, and how much of that has ever been written. */
  #extentOf(
    target: Uint8Array,
    position: number,
  ): { readonly length: number; readonly stored: number } {
    this.#assertUsable()
    const { size, written } = this.#use
    const length = Math.max(0, Math.min(target.length, size - position))
    return { length, stored: Math.max(0, Math.min(length, written - position)) }
  }

  /** Each write is durable when it has resolved; what is left is that it is read again. */
  async sync(): Promise<void> {
    this.#assertUsable()
    const { slot, size, written } = this.#use
    if (written <= this.#noted) return
    // The first block alone, to begin with: behind a torn header there are zeros.
    const ahead = written <= blockBytes ? blockBytes : roundUp(written, noteAheadBytes)
    await this.#table.update(slot, (entry) => {
      assert(entry !== undefined, 'a segment that is written is in the table')
      const upTo = Math.min(entry.size, size, ahead)
      return { size: entry.size, written: Math.max(entry.written, upTo) }
    })
  }

  async trim(size: number): Promise<void> {
    this.#check(size, 0)
    assert(size % blockBytes === 0, 'a segment ends with a block')
    const use = this.#use
    if (size === use.size) return
    await this.#table.update(use.slot, (entry) => {
      assert(entry !== undefined, 'a segment that is trimmed is in the table')
      return { size, written: Math.min(size, Math.max(entry.written, use.written)) }
    })
    use.size = size
    use.written = Math.min(size, use.written)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#handle.close()
  }

  get #noted(): number {
    return this.#table.get(this.#use.slot)?.written ?? 0
  }

  async #writeZeros(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += zeros.length) {
      const piece = zeros.subarray(0, Math.min(zeros.length, to - at))
      await this.#handle.write([piece], this.#use.at + at)
    }
  }

  /** A segment never grows: its end is where the volume put it. */
  #check(position: number, length: number): void {
    this.#assertUsable()
    assert(position >= 0 && position + length <= this.#use.size, 'a write beyond the segment')
  }

  #assertUsable(): void {
    assert(!this.#closed, 'a segment is used after it was closed')
    assert(!this.#use.removed, 'a segment is used after it was removed')
  }
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit
}
