/** A real engine over a disk in memory: it can be killed at any operation, and robbed of its index. */
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { type Engine, openEngine } from '../../src/store/engine.ts'
import {
  defaultReclaimOptions,
  type ReclaimOptions,
} from '../../src/store/space/reclaim-options.ts'
import { Volume } from '../../src/volume/volume.ts'
import { FaultyDisk } from '../volume/faulty-disk.ts'

interface MemoryStoreOptions {
  readonly segmentBytes: number
  readonly capacityBytes: number
  readonly reclaim: Partial<ReclaimOptions>
}

export class MemoryStore {
  disk: FaultyDisk
  #indexDisk = new MemoryIndexDisk()
  readonly #options: MemoryStoreOptions
  #opened: { readonly engine: Engine; readonly volume: Volume } | undefined

  private constructor(disk: FaultyDisk, options: MemoryStoreOptions) {
    this.disk = disk
    this.#options = options
  }

  static async open(options: MemoryStoreOptions): Promise<MemoryStore> {
    const store = new MemoryStore(
      new FaultyDisk({ capacityBytes: 2 * options.capacityBytes }),
      options,
    )
    await store.#start()
    return store
  }

  get engine(): Engine {
    if (this.#opened === undefined) throw new Error('the store is closed')
    return this.#opened.engine
  }

  get volume(): Volume {
    if (this.#opened === undefined) throw new Error('the store is closed')
    return this.#opened.volume
  }

  /** What is written so far goes on, for a process of its own. */
  async reopen(): Promise<void> {
    await this.close()
    await this.#start()
  }

  async loseIndex(): Promise<void> {
    await this.close()
    this.#indexDisk = new MemoryIndexDisk()
    await this.#start()
  }

  /** The process ends without a word, and with it what was not synced. */
  async losePower(): Promise<void> {
    this.disk = this.disk.afterPowerLoss()
    this.#indexDisk.crash()
    await this.#start()
  }

  async close(): Promise<void> {
    await this.#opened?.engine.close()
    await this.#opened?.volume.close()
    this.#opened = undefined
  }

  async put(key: string, body: Buffer): Promise<void> {
    await this.engine.putObject({
      ...{ bucket: 'photos', key, body, contentLength: body.length },
      ...{ headers: {}, userMetadata: {}, createBucket: true },
    })
  }

  async get(key: string): Promise<Buffer | undefined> {
    const object = this.engine.openObject({ bucket: 'photos', key })
    try {
      return await object?.readWhole()
    } finally {
      object?.close()
    }
  }

  delete(key: string): Promise<boolean> {
    return this.engine.deleteObject({ bucket: 'photos', key })
  }

  async #start(): Promise<void> {
    const { segmentBytes, capacityBytes, reclaim } = this.#options
    const surroundings = { clock: systemClock, random: seededRandom(5), logger: silentLogger }
    const volume = await Volume.open({
      ...surroundings,
      device: this.disk,
      format: { siteId: 'here', segmentBytes },
      capacityBytes,
    })
    const engine = await openEngine({
      ...surroundings,
      volume,
      openIndex: () => MemoryIndex.open({ disk: this.#indexDisk }),
      maxClockSkewMs: 300_000,
      reclaim: { ...defaultReclaimOptions, ...reclaim },
    })
    this.#opened = { engine, volume }
  }
}
