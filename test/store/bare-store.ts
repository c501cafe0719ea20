/** A real store over a disk and an index in memory, which outlive its processes. */
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { type Engine, openEngine } from '../../src/store/engine.ts'
import { Volume, type VolumeOptions } from '../../src/volume/volume.ts'
import type { FaultyDisk } from '../volume/faulty-disk.ts'

export class BareStore {
  readonly disk: FaultyDisk
  readonly index: MemoryIndexDisk
  #random = seededRandom(1)
  #time = 1_700_000_000_000
  #opened: { readonly engine: Engine; readonly volume: Volume } | undefined
  readonly clock: Clock = {
    // Every look finds it later, so that no two writes have one stamp.
    now: () => ++this.#time,
    monotonic: () => this.#time,
    after: (ms, callback) => systemClock.after(ms, callback),
  }

  constructor(disk: FaultyDisk, index: MemoryIndexDisk = new MemoryIndexDisk()) {
    this.disk = disk
    this.index = index
  }

  get engine(): Engine {
    if (this.#opened === undefined) throw new Error('the store is closed')
    return this.#opened.engine
  }

  get volume(): Volume {
    if (this.#opened === undefined) throw new Error('the store is closed')
    return this.#opened.volume
  }

  openVolume(options: Pick<VolumeOptions, 'salvage'> = {}): Promise<Volume> {
    return Volume.open({
      ...options,
      device: this.disk,
      random: this.#random,
      clock: this.clock,
      logger: silentLogger,
      format: { siteId: 'here', segmentBytes: 64 * 1024 },
      capacityBytes: 64 * 2 ** 20,
    })
  }

  async open(): Promise<void> {
    const volume = await this.openVolume()
    const engine = await openEngine({
      volume,
      openIndex: () => MemoryIndex.open({ disk: this.index }),
      clock: this.clock,
      random: this.#random,
      logger: silentLogger,
      maxClockSkewMs: 300_000,
      conflictPolicy: 'keep-both',
    })
    this.#opened = { engine, volume }
  }

  async close(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    await opened?.engine.close()
    await opened?.volume.close()
  }
}
