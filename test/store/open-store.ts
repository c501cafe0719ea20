/** A real store over a temporary folder, that can be closed, reopened and robbed of its index. */
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import type { OrderedIndex } from '../../src/index/ordered-index.ts'
import { type Engine, openEngine } from '../../src/store/engine.ts'
import type { Hashing } from '../../src/store/model/body-hasher.ts'
import type { ConflictPolicy } from '../../src/store/model/bucket-register.ts'
import type { ObjectInfo } from '../../src/store/model/object-store.ts'
import { Volume } from '../../src/volume/volume.ts'

export interface OpenedStore {
  readonly engine: Engine
  readonly volume: Volume
}

interface TestStoreOptions {
  readonly siteId: string
  readonly segmentBytes: number
  readonly capacityBytes?: number
  readonly conflictPolicy?: ConflictPolicy
  readonly hashing?: Hashing
  /** The index has a reserve, and is opened anew when a write of it fails. */
  readonly lasting?: boolean
}

export class TestStore {
  readonly folder: string
  readonly #options: TestStoreOptions
  #opened: OpenedStore | undefined
  /** Added to wall time. */
  skewMs = 0

  private constructor(folder: string, options: TestStoreOptions) {
    this.folder = folder
    this.#options = options
  }

  static async open(options: Partial<TestStoreOptions> = {}): Promise<TestStore> {
    return TestStore.openAt(await mkdtemp(join(tmpdir(), 'comio-store-')), options)
  }

  /** Over a folder that exists, perhaps with a volume in it. */
  static async openAt(folder: string, options: Partial<TestStoreOptions> = {}): Promise<TestStore> {
    const store = new TestStore(folder, { siteId: 'here', segmentBytes: 2 ** 20, ...options })
    await store.reopen()
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

  async reopen(): Promise<void> {
    await this.close()
    const device = await DirectoryDevice.open(join(this.folder, 'volume'))
    const { siteId, segmentBytes, capacityBytes, conflictPolicy, hashing, lasting } = this.#options
    const clock = { ...systemClock, now: () => Date.now() + this.skewMs }
    const volume = await Volume.open({
      device,
      random: systemRandom,
      clock,
      logger: silentLogger,
      format: { siteId, segmentBytes },
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    })
    const openIndex = async ({ fresh }: { readonly fresh: boolean }): Promise<OrderedIndex> => {
      const path = join(this.folder, 'index')
      if (fresh) await rename(path, `${path}.aside`)
      return LevelIndex.open({
        path,
        ...(lasting ? { lasting: { clock, random: systemRandom } } : {}),
      })
    }
    const engine = await openEngine({
      volume,
      openIndex,
      clock,
      random: systemRandom,
      logger: silentLogger,
      maxClockSkewMs: 300_000,
      ...(conflictPolicy === undefined ? {} : { conflictPolicy }),
      ...(hashing === undefined ? {} : { hashing }),
    })
    this.#opened = { engine, volume }
  }

  async loseIndex(): Promise<void> {
    await this.close()
    await rm(join(this.folder, 'index'), { recursive: true })
    await this.reopen()
  }

  async close(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    await opened?.engine.close()
    await opened?.volume.close()
  }

  async remove(): Promise<void> {
    await this.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  put(bucket: string, key: string, content: string | Buffer): Promise<ObjectInfo> {
    const body = Buffer.from(content)
    return this.engine.putObject({
      bucket,
      key,
      body,
      contentLength: body.length,
      headers: { 'content-type': 'text/plain' },
      userMetadata: {},
      createBucket: true,
    })
  }

  async get(bucket: string, key: string): Promise<Buffer | undefined> {
    const object = this.engine.openObject({ bucket, key })
    if (object === undefined) return undefined
    try {
      const pieces: Buffer[] = []
      for await (const piece of object.read()) pieces.push(piece)
      return Buffer.concat(pieces)
    } finally {
      object.close()
    }
  }

  /** How many large bodies, or parts of them, the index knows of. The store is closed and opened for it. */
  async blobCount(): Promise<number> {
    await this.close()
    const index = await LevelIndex.open({ path: join(this.folder, 'index') })
    const cursor = index.iterate({ gte: Buffer.from('l'), lt: Buffer.from('m') })
    const { length } = await cursor.next(1000)
    await cursor.close()
    await index.close()
    await this.reopen()
    return length
  }

  async keys(bucket: string): Promise<string[]> {
    const page = await this.engine.listObjects({
      bucket,
      prefix: '',
      delimiter: '',
      after: '',
      limit: 10_000,
    })
    return page.objects.map((object) => object.key)
  }
}
