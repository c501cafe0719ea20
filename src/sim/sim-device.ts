/** One process's view of a simulated disk: latency, faults, and an end that comes without a word. */
import { assert } from '../base/assert.ts'
import type { Device, DeviceSegment } from '../device/device.ts'
import { ShortWriteError } from '../device/errors.ts'
import type { FaultKind, SimDisk } from './sim-disk.ts'
import { SimFile } from './sim-file.ts'

/** What the system says. */
export class SimSystemError extends Error {
  readonly code: 'EIO' | 'ENOSPC' | 'ENOENT'

  constructor(code: 'EIO' | 'ENOSPC' | 'ENOENT', what: string) {
    super(`${code}: simulated, ${what}`)
    this.name = 'SimSystemError'
    this.code = code
  }
}

export class SimDevice implements Device {
  readonly name: string
  readonly #disk: SimDisk
  readonly #epoch: number
  #closed = false

  constructor(disk: SimDisk) {
    this.name = disk.name
    this.#disk = disk
    this.#epoch = disk.epoch
  }

  /** False once the process has ended: nothing that was begun ends, and nothing new happens. */
  get isAlive(): boolean {
    return this.#disk.epoch === this.#epoch
  }

  async readSuperblock(): Promise<Uint8Array | undefined> {
    await this.wait(this.#disk.latency.readMs)
    this.fail('read', 'the superblock')
    const { superblock } = this.#disk
    return superblock && Buffer.from(superblock)
  }

  async writeSuperblock(bytes: Uint8Array): Promise<void> {
    assert(bytes.length <= 4096, 'a superblock beyond 4 KiB')
    const copy = Buffer.from(bytes)
    await this.#change('the superblock', () => {
      this.#disk.superblock = copy
    })
  }

  async list(): Promise<readonly number[]> {
    await this.wait(this.#disk.latency.readMs)
    this.fail('read', 'the folder')
    return [...this.#disk.files.keys()].sort((a, b) => a - b)
  }

  async create(slot: number, size: number): Promise<DeviceSegment> {
    const { files, latency } = this.#disk
    await this.wait(latency.writeMs)
    assert(!files.has(slot), `slot ${slot} is not empty`)
    const isFull = this.#disk.usedBytes + size > this.#disk.capacityBytes
    if (isFull || this.#disk.chance.hits(this.#disk.faults.space)) {
      throw new SimSystemError('ENOSPC', `making slot ${slot}`)
    }
    const file = new SimFile(size)
    await this.#change(`making slot ${slot}`, () => files.set(slot, file))
    return new SimSegment(this, this.#disk, { file, slot })
  }

  async open(slot: number): Promise<DeviceSegment> {
    await this.wait(this.#disk.latency.readMs)
    this.fail('read', `opening slot ${slot}`)
    const file = this.#disk.files.get(slot)
    if (file === undefined) throw new SimSystemError('ENOENT', `slot ${slot}`)
    return new SimSegment(this, this.#disk, { file, slot })
  }

  async remove(slot: number): Promise<void> {
    await this.#change(`removing slot ${slot}`, () => this.#disk.files.delete(slot))
  }

  async freeBytes(): Promise<number> {
    await this.wait(this.#disk.latency.readMs)
    this.fail('read', 'asking for free space')
    return Math.max(0, this.#disk.capacityBytes - this.#disk.usedBytes)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  async trim(file: SimFile, size: number): Promise<void> {
    await this.#change('trimming', () => file.trim(size))
  }

  /** What every operation begins with: some time passes, in which the process may end. */
  async wait(meanMs: number): Promise<void> {
    assert(!this.#closed, 'a device is used after it was closed')
    await this.#pause(meanMs)
  }

  /** What every operation that changes something ends with. */
  async done(): Promise<void> {
    this.#disk.onOperation()
    if (!this.isAlive) await neverEnds()
  }

  /** @throws SimSystemError as often as the disk's faults say */
  fail(kind: FaultKind, what: string): void {
    if (this.#disk.chance.hits(this.#disk.faults[kind])) throw this.failure(what)
  }

  /** What the system says of something that failed. */
  failure(what: string): SimSystemError {
    const isFull = this.#disk.chance.hits(this.#disk.faults.fullShare ?? 0)
    return new SimSystemError(isFull ? 'ENOSPC' : 'EIO', what)
  }

  /** A change of names, durable when it has resolved, or of a size; a crash finds it done or not done. */
  async #change(what: string, apply: () => void): Promise<void> {
    const { latency, unfinished, chance, faults } = this.#disk
    if (!this.isAlive) await neverEnds()
    unfinished.add(apply)
    await this.wait(latency.syncMs)
    unfinished.delete(apply)
    if (chance.hits(faults.folder)) {
      if (!chance.hits(0.3)) throw this.failure(what)
      // Done after all: no disk does that and says that it is full.
      apply()
      throw new SimSystemError('EIO', what)
    }
    apply()
    await this.done()
  }

  async #pause(meanMs: number): Promise<void> {
    if (!this.isAlive) await neverEnds()
    await this.#disk.queue.pause(this.#disk.chance.around(meanMs))
    if (!this.isAlive) await neverEnds()
  }
}

class SimSegment implements DeviceSegment {
  readonly #device: SimDevice
  readonly #disk: SimDisk
  readonly #file: SimFile
  readonly #slot: number
  #running = 0
  #closed = false

  constructor(
    device: SimDevice,
    disk: SimDisk,
    { file, slot }: { readonly file: SimFile; readonly slot: number },
  ) {
    this.#device = device
    this.#disk = disk
    this.#file = file
    this.#slot = slot
  }

  get size(): number {
    return this.#file.size
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = Buffer.concat(buffers)
    this.#check(position, bytes.length)
    if (bytes.length === 0) return
    const { chance, faults, latency, unfinished } = this.#disk
    const cutOff = (): void => this.#file.writePartly(bytes, position, chance)
    await this.#use(async () => {
      unfinished.add(cutOff)
      await this.#device.wait(latency.writeMs)
      unfinished.delete(cutOff)
      assert(bytes.equals(Buffer.concat(buffers)), 'bytes do not change while they are written')
      if (chance.hits(faults.write)) {
        cutOff()
        throw this.#device.failure(`writing slot ${this.#slot}`)
      }
      const written = chance.hits(faults.shortWrite) ? chance.below(bytes.length) : bytes.length
      this.#file.write(bytes.subarray(0, written), position)
      await this.#device.done()
      if (written === bytes.length) return
      const { name } = this.#disk
      throw new ShortWriteError({ device: name, position, wanted: bytes.length, written })
    })
  }

  async writeSynced(buffers: readonly Uint8Array[], position: number): Promise<void> {
    await this.write(buffers, position)
    await this.sync()
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return await this.#use(async () => {
      await this.#device.wait(this.#disk.latency.readMs)
      this.#device.fail('read', `reading slot ${this.#slot}`)
      return this.#file.read(target, position)
    })
  }

  async sync(): Promise<void> {
    const { chance, faults, latency } = this.#disk
    await this.#use(async () => {
      const sync = this.#file.beginSync()
      await this.#device.wait(latency.syncMs)
      if (chance.hits(faults.sync)) {
        sync.fail(chance)
        throw this.#device.failure(`syncing slot ${this.#slot}`)
      }
      sync.succeed()
      await this.#device.done()
    })
  }

  async trim(size: number): Promise<void> {
    this.#check(size, 0)
    if (size < this.size) await this.#use(() => this.#device.trim(this.#file, size))
  }

  async close(): Promise<void> {
    assert(this.#running === 0, 'a segment is not closed while it is being used')
    this.#closed = true
  }

  async #use<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#device.isAlive) await neverEnds()
    assert(!this.#closed, 'a segment is used after it was closed')
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
    }
  }

  #check(position: number, length: number): void {
    assert(position >= 0 && position + length <= this.size, 'a write beyond the segment')
  }
}

/** What a process gets that has crashed: nobody is left to hear an answer. */
function neverEnds(): Promise<never> {
  return new Promise(() => undefined)
}
