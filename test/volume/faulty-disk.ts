/**
 * A disk in memory that can fail at any operation and lose its power at any instant. Unsynced writes
 * survive a power loss in part, sector by sector; names that were being made or removed may or may not,
 * and so may trims that no sync has followed.
 */
import { assert } from '../../src/base/assert.ts'
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import type { Device, DeviceSegment } from '../../src/device/device.ts'
import { ShortWriteError } from '../../src/device/errors.ts'

const sectorBytes = 512

export type Operation = 'superblock' | 'create' | 'remove' | 'write' | 'sync' | 'trim' | 'read'

export class PowerLossError extends Error {}

interface Write {
  readonly position: number
  readonly bytes: Buffer
}

interface Stored {
  /** What a read sees. */
  current: Buffer
  /** What a power loss leaves for sure. */
  durable: Buffer
  unsynced: Write[]
}

export interface Fault {
  readonly operation: Operation
  /** The system's error code, or `short` for a write that takes only half of its bytes. */
  readonly code: string
  /** How many matching operations go well before it. */
  after: number
  /** How many fail from then on. */
  times: number
}

export class FaultyDisk implements Device {
  readonly name = 'faulty disk'
  readonly segments = new Map<number, Stored>()
  superblock: Buffer | undefined
  capacityBytes: number
  /** Changes to the disk so far; reads are not counted. */
  operations = 0
  /** The power goes during this operation. */
  powerOffAt = Number.POSITIVE_INFINITY
  readonly faults: Fault[] = []
  /** Every operation, for tests about order. */
  readonly trace: string[] = []
  readonly #random: Random

  constructor(options: { readonly capacityBytes?: number; readonly seed?: number } = {}) {
    this.capacityBytes = options.capacityBytes ?? 2 ** 30
    this.#random = seededRandom(options.seed ?? 1)
  }

  /** From now on (or after `after` of them) the next `times` operations of this kind fail. */
  fail(operation: Operation, code: string, options: { after?: number; times?: number } = {}): void {
    this.faults.push({ operation, code, after: options.after ?? 0, times: options.times ?? 1 })
  }

  /** The disk as it is found after the power came back. */
  afterPowerLoss(): FaultyDisk {
    const found = new FaultyDisk({
      capacityBytes: this.capacityBytes,
      seed: randomBelow(this.#random, 2 ** 31),
    })
    found.superblock = this.superblock
    for (const [slot, stored] of this.segments) {
      let bytes = Buffer.from(stored.durable)
      for (const write of stored.unsynced) this.#applySome(bytes, write)
      const size = stored.current.length
      if (size < bytes.length && this.#random.fraction() < 0.5) bytes = bytes.subarray(0, size)
      found.segments.set(slot, { current: bytes, durable: Buffer.from(bytes), unsynced: [] })
    }
    return found
  }

  /** The disk as the next process finds it after this one was killed: what was not synced is still there. */
  afterKill(): FaultyDisk {
    const found = this.afterPowerLoss()
    for (const [slot, { current, durable, unsynced }] of this.segments) {
      found.segments.set(slot, {
        current: Buffer.from(current),
        durable: Buffer.from(durable),
        unsynced: [...unsynced],
      })
    }
    return found
  }

  /** Changes what is stored, as rot or a careless hand does. */
  tamper(slot: number, change: (bytes: Buffer) => void): void {
    const stored = this.#stored(slot)
    change(stored.current)
    stored.durable = Buffer.from(stored.current)
  }

  async readSuperblock(): Promise<Uint8Array | undefined> {
    return this.superblock
  }

  async writeSuperblock(bytes: Uint8Array): Promise<void> {
    const next = Buffer.from(bytes)
    await this.step('superblock', () => {
      this.superblock = next
    })
  }

  async list(): Promise<readonly number[]> {
    return [...this.segments.keys()].sort((a, b) => a - b)
  }

  async create(slot: number, size: number): Promise<DeviceSegment> {
    assert(!this.segments.has(slot), 'the slot must be empty')
    await this.step('create', () => {
      if (size > this.#free()) throw systemError('ENOSPC')
      const zeros = (): Buffer => Buffer.alloc(size)
      this.segments.set(slot, { current: zeros(), durable: zeros(), unsynced: [] })
    })
    return new FaultySegment(this, this.#stored(slot))
  }

  async open(slot: number): Promise<DeviceSegment> {
    return new FaultySegment(this, this.#stored(slot))
  }

  async remove(slot: number): Promise<void> {
    await this.step('remove', () => {
      this.segments.delete(slot)
    })
  }

  async freeBytes(): Promise<number> {
    return this.#free()
  }

  async close(): Promise<void> {}

  /**
   * One operation: `apply` makes the change. When the power goes during it, the change may or may not
   * have been made, and nothing works any more.
   */
  async step(operation: Operation, apply: () => void): Promise<void> {
    await Promise.resolve()
    if (operation !== 'read') this.operations++
    if (this.operations > this.powerOffAt) throw new PowerLossError('the power is off')
    if (this.operations === this.powerOffAt) {
      // A write may be torn anyway; a sync that was cut off promises nothing.
      if (operation === 'write' || this.#random.fraction() < 0.5) apply()
      throw new PowerLossError('the power goes')
    }
    this.trace.push(operation)
    this.#failIfPlanned(operation)
    apply()
  }

  #failIfPlanned(operation: Operation): void {
    const fault = this.faults.find((planned) => planned.operation === operation)
    if (fault === undefined) return
    if (fault.after > 0) {
      fault.after--
      return
    }
    fault.times--
    if (fault.times <= 0) this.faults.splice(this.faults.indexOf(fault), 1)
    throw systemError(fault.code)
  }

  #applySome(bytes: Buffer, write: Write): void {
    for (let from = 0; from < write.bytes.length; from += sectorBytes) {
      if (this.#random.fraction() < 0.5) continue
      const piece = write.bytes.subarray(from, from + sectorBytes)
      piece.copy(bytes, write.position + from)
    }
  }

  #stored(slot: number): Stored {
    const stored = this.segments.get(slot)
    if (stored === undefined) throw systemError('ENOENT')
    return stored
  }

  #free(): number {
    let used = 0
    for (const { current } of this.segments.values()) used += current.length
    return Math.max(0, this.capacityBytes - used)
  }
}

class FaultySegment implements DeviceSegment {
  readonly #disk: FaultyDisk
  readonly #stored: Stored

  constructor(disk: FaultyDisk, stored: Stored) {
    this.#disk = disk
    this.#stored = stored
  }

  get size(): number {
    return this.#stored.current.length
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = Buffer.concat(buffers)
    assert(position + bytes.length <= this.size, 'a write beyond the segment')
    const put = (piece: Buffer): void => {
      piece.copy(this.#stored.current, position)
      this.#stored.unsynced.push({ position, bytes: piece })
    }
    try {
      await this.#disk.step('write', () => put(bytes))
    } catch (error) {
      if (!isSystemError(error, 'short')) throw error
      const written = Math.floor(bytes.length / 2)
      put(bytes.subarray(0, written))
      const { name: device } = this.#disk
      throw new ShortWriteError({ device, position, wanted: bytes.length, written })
    }
  }

  async writeSynced(buffers: readonly Uint8Array[], position: number): Promise<void> {
    await this.write(buffers, position)
    await this.sync()
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    await this.#disk.step('read', () => undefined)
    return this.#stored.current.copy(target, 0, position, position + target.length)
  }

  async sync(): Promise<void> {
    await this.#disk.step('sync', () => {
      const { durable, unsynced } = this.#stored
      for (const { position, bytes } of unsynced) bytes.copy(durable, position)
      this.#stored.durable = durable.subarray(0, this.size)
      this.#stored.unsynced = []
    })
  }

  async trim(size: number): Promise<void> {
    await this.#disk.step('trim', () => {
      const stored = this.#stored
      stored.current = Buffer.from(stored.current.subarray(0, size))
      stored.unsynced = stored.unsynced.filter(({ position }) => position < size)
    })
  }

  async close(): Promise<void> {}
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: planned by the test`), { code })
}

function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
