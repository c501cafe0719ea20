/**
 * A simulated disk: what a site's bytes lie on, across the lives of its processes. A process reaches
 * it through a `SimDevice` of the disk's epoch; its end begins a new one, and what the dead process
 * was doing never ends.
 */
import type { Chance } from './chance.ts'
import type { EventQueue } from './event-queue.ts'
import type { SimFile } from './sim-file.ts'

/** Probabilities for each operation. */
export interface DiskFaults {
  readonly write: number
  readonly shortWrite: number
  readonly sync: number
  readonly read: number
  /** Making, removing and trimming segments, and replacing the superblock. */
  readonly folder: number
  /** No space where there should be some. */
  readonly space: number
  /** Share of the failures above that say that the disk is full, and not that it is broken. */
  readonly fullShare?: number
}

export type FaultKind = Exclude<keyof DiskFaults, 'fullShare'>

export const noDiskFaults: DiskFaults = {
  write: 0,
  shortWrite: 0,
  sync: 0,
  read: 0,
  folder: 0,
  space: 0,
}

/** Mean times, ms. */
export interface DiskLatency {
  readonly readMs: number
  readonly writeMs: number
  readonly syncMs: number
}

export interface SimDiskOptions {
  readonly name: string
  readonly queue: EventQueue
  readonly chance: Chance
  readonly latency: DiskLatency
  readonly faults: DiskFaults
  readonly capacityBytes: number
  /** Called after each operation has taken effect, and before its caller learns of it. */
  readonly onOperation?: () => void
}

/** What a crash may find half done, and how it is when it was done after all. */
type Unfinished = () => void

export class SimDisk {
  readonly name: string
  readonly queue: EventQueue
  readonly chance: Chance
  readonly latency: DiskLatency
  capacityBytes: number
  readonly files = new Map<number, SimFile>()
  readonly onOperation: () => void
  /** Operations on names and the superblock that are under way. */
  readonly unfinished = new Set<Unfinished>()
  superblock: Buffer | undefined
  faults: DiskFaults
  #epoch = 0

  constructor(options: SimDiskOptions) {
    this.name = options.name
    this.queue = options.queue
    this.chance = options.chance
    this.latency = options.latency
    this.faults = options.faults
    this.capacityBytes = options.capacityBytes
    this.onOperation = options.onOperation ?? (() => undefined)
  }

  get usedBytes(): number {
    let used = 0
    for (const file of this.files.values()) used += file.size
    return used
  }

  /** Raised with each end of a process: who belongs to an earlier one is dead. */
  get epoch(): number {
    return this.#epoch
  }

  /** One bit turns over, somewhere in a segment. */
  rot(): void {
    if (this.files.size === 0) return
    const file = this.chance.pick([...this.files.values()])
    // Nearer to the beginning, where the bytes are.
    file.rot(this.chance.below(this.chance.between(1, file.size)), this.chance.below(8))
  }

  /** From now on nothing fails any more. */
  heal(): void {
    this.faults = noDiskFaults
  }

  /** The process is killed: what it had written stays in the cache, synced or not. */
  kill(): void {
    this.#epoch++
    for (const finish of this.unfinished) if (this.chance.hits(0.5)) finish()
    this.unfinished.clear()
  }

  /** The power fails. */
  crash(): void {
    this.kill()
    for (const file of this.files.values()) file.crash(this.chance)
  }
}
