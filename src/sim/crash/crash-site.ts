/**
 * What outlives the processes of a site (its disk and index), and the process that runs now: the real
 * volume, index map and store put together as the server does it, without replication.
 */
import { assert } from '../../base/assert.ts'
import type { Device } from '../../device/device.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../index/memory-index.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { type Engine, openEngine } from '../../store/engine.ts'
import type { RemoteLedger } from '../../store/model/object-store.ts'
import { Volume } from '../../volume/volume.ts'
import type { Chance } from '../chance.ts'
import type { EventQueue } from '../event-queue.ts'
import { HardwareClock, SimClock } from '../sim-clock.ts'
import { SimDevice, SimSystemError } from '../sim-device.ts'
import { SimDisk } from '../sim-disk.ts'
import type { Trace } from '../trace.ts'
import type { CrashOptions } from './crash-options.ts'

/** Where tests put something between the parts, to see that a bug there is found. */
export interface CrashSeams {
  readonly device?: (device: Device) => Device
  readonly volume?: (volume: Volume) => Volume
  readonly index?: (index: OrderedIndex) => OrderedIndex
}

/** A running process. */
export interface Life {
  readonly engine: Engine
  readonly volume: Volume
  readonly ledger: RemoteLedger
  readonly clock: SimClock
}

export const siteName = 'here'
/** The remote that is shipped to, and the site whose changes come in. */
export const otherName = 'there'

export class CrashSite {
  readonly disk: SimDisk
  readonly hardware: HardwareClock
  readonly #options: CrashOptions
  readonly #queue: EventQueue
  readonly #chance: Chance
  readonly #trace: Trace
  readonly #seams: CrashSeams
  #indexDisk: MemoryIndexDisk
  /** Probability that a write or a read of a cursor of the index fails. */
  indexFaults: number
  #indexOutage: { readonly until: number; readonly code: 'EIO' | 'ENOSPC' } | undefined
  #clock: SimClock | undefined
  #lives = 0

  constructor(parts: {
    readonly options: CrashOptions
    readonly queue: EventQueue
    readonly chance: Chance
    readonly trace: Trace
    readonly seams: CrashSeams
    readonly onOperation: () => void
  }) {
    const { options, queue, chance, trace, seams, onOperation } = parts
    this.#options = options
    this.#queue = queue
    this.#chance = chance
    this.#trace = trace
    this.#seams = seams
    this.indexFaults = options.indexFaults
    this.#indexDisk = this.#newIndexDisk()
    this.hardware = new HardwareClock({ queue, skewMs: 0, drift: 0 })
    this.disk = new SimDisk({
      name: siteName,
      queue,
      chance: chance.fork('disk'),
      latency: options.diskLatency,
      faults: options.diskFaults,
      capacityBytes: 2 * this.#capacityBytes,
      onOperation,
    })
  }

  get indexDisk(): MemoryIndexDisk {
    return this.#indexDisk
  }

  get #capacityBytes(): number {
    return this.#options.capacitySegments * this.#options.segmentBytes
  }

  /** Resolves when the process is up; never, when it ends before. */
  async start(): Promise<Life> {
    assert(this.#clock === undefined, 'a site runs one process at a time')
    this.#lives++
    const clock = new SimClock(this.hardware)
    this.#clock = clock
    const random = this.#chance.fork(`life ${this.#lives}`)
    const logger = this.#trace.logger(siteName)
    const device = new SimDevice(this.disk)
    const opened = await Volume.open({
      device: this.#seams.device?.(device) ?? device,
      random,
      clock,
      logger,
      format: { segmentBytes: this.#options.segmentBytes, siteId: siteName },
      capacityBytes: this.#capacityBytes,
    })
    const volume = this.#seams.volume?.(opened) ?? opened
    const engine = await openEngine({
      volume,
      openIndex: (options) => this.#openIndex(options),
      clock,
      random,
      logger,
      maxClockSkewMs: 300_000,
    })
    return { engine, volume, ledger: await engine.ledger(otherName), clock }
  }

  /** Ends the process in the middle of whatever it does. */
  crash(kind: 'kill' | 'power'): void {
    if (kind === 'power') this.disk.crash()
    else this.disk.kill()
    this.#indexDisk.crash()
    this.#indexOutage = undefined
    this.#clock?.stop()
    this.#clock = undefined
  }

  /** Ends the process as SIGTERM does, once nobody uses it any more. */
  async stop({ engine, volume }: Life): Promise<void> {
    await engine.close()
    await volume.close()
    this.crash('kill')
  }

  /** Somebody deletes the index while the site is down. */
  loseIndex(): void {
    assert(this.#clock === undefined, 'a running site holds its index')
    this.#indexDisk = this.#newIndexDisk()
  }

  /** From now on nothing fails. */
  heal(): void {
    this.disk.heal()
    this.indexFaults = 0
    this.#indexOutage = undefined
  }

  /** Once, or for a while, as when the disk of the index is full. */
  #failIndex(): void {
    if (this.#indexOutage !== undefined && this.#queue.time >= this.#indexOutage.until) {
      this.#indexOutage = undefined
    }
    if (this.#chance.hits(this.indexFaults)) {
      const until = this.#queue.time + this.#chance.pick([0, 0, 2500])
      this.#indexOutage = { until, code: this.#chance.pick(['EIO', 'ENOSPC'] as const) }
      throw new SimSystemError(this.#indexOutage.code, 'the index')
    }
    if (this.#indexOutage !== undefined)
      throw new SimSystemError(this.#indexOutage.code, 'the index')
  }

  #newIndexDisk(): MemoryIndexDisk {
    return new MemoryIndexDisk({ survives: () => this.#chance.hits(0.5) })
  }

  async #openIndex({ fresh }: { readonly fresh: boolean }): Promise<OrderedIndex> {
    if (fresh) this.#indexDisk = this.#newIndexDisk()
    const settle = async (): Promise<void> => {
      await this.#queue.pause(this.#chance.around(this.#options.indexLatencyMs))
      this.#failIndex()
    }
    const index = await MemoryIndex.open({ disk: this.#indexDisk, settle })
    return this.#seams.index?.(index) ?? index
  }
}
