/** Clients of two sites that write the same few keys at both, and go on through the deaths of either. */
import { createHash } from 'node:crypto'
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import { bytesOf } from '../e2e/content.ts'
import type { SiteProcess } from '../e2e/site-process.ts'
import { type SiteNumber, type Write, WriteHistory } from './write-history.ts'

export const sharedBucket = 'shared'

const clientsEach = 4
/** Writes that go on when enough were answered for whoever waits. */
const surplus = 40
const keys = 24
const kib = 1024

export class SharedLoad {
  readonly history = new WriteHistory(() => performance.now())
  readonly #sites: readonly [SiteProcess, SiteProcess]
  readonly #random: Random
  readonly #contents = new Map<string, number>()
  readonly #wakeups = new Set<() => void>()
  readonly #isUp = [true, true]
  /** Raised when a site's process is about to be killed. */
  readonly #lives = [0, 0]
  #lastContent = 0
  /** No write begins beyond this. */
  #allowed = 0
  #isOver = false
  #clients: readonly Promise<void>[] = []

  constructor(sites: readonly [SiteProcess, SiteProcess], seed: number) {
    this.#sites = sites
    this.#random = seededRandom(seed)
  }

  start(): void {
    this.#isOver = false
    this.#clients = ([0, 1] as const).flatMap((site) =>
      Array.from({ length: clientsEach }, () => this.#client(site)),
    )
  }

  /** Resolves when all clients have their last answer. */
  async stop(): Promise<void> {
    this.#isOver = true
    this.#wake()
    await Promise.all(this.#clients)
  }

  /** Clients of a site that is down wait until it is up. Told before it is killed. */
  setUp(site: SiteNumber, isUp: boolean): void {
    this.#isUp[site] = isUp
    if (!isUp) this.#lives[site] = this.#lifeOf(site) + 1
    this.#wake()
  }

  /** Resolves when `count` more writes were answered; without a call nothing is written. @throws what a client has failed with */
  async answers(count: number): Promise<void> {
    const enough = this.history.count + count
    this.#allowed = enough + surplus
    this.#wake()
    const enoughCame = async (): Promise<void> => {
      while (this.history.count < enough && !this.#isOver) await this.#change()
    }
    await Promise.race([enoughCame(), Promise.all(this.#clients)])
  }

  /** The bytes that were written with this ETag. */
  bytesOf(etag: string): Buffer | undefined {
    const content = this.#contents.get(etag)
    return content === undefined ? undefined : bytesOf(content, sizeOf(content))
  }

  async #client(site: SiteNumber): Promise<void> {
    try {
      while (!this.#isOver) {
        const mayWrite = this.#isUp[site] === true && this.history.count < this.#allowed
        if (mayWrite) await this.#write(site)
        else await this.#change()
      }
    } finally {
      this.#wake()
    }
  }

  async #write(site: SiteNumber): Promise<void> {
    const key = `key-${randomBelow(this.#random, keys)}`
    const isDelete = randomBelow(this.#random, 5) === 0
    const content = ++this.#lastContent
    const body = isDelete ? undefined : bytesOf(content, sizeOf(content))
    const etag = body && `"${createHash('md5').update(body).digest('hex')}"`
    if (etag !== undefined) this.#contents.set(etag, content)
    const write = this.history.begin({ site, key, etag })
    const status = await this.#send(write, body)
    if (status === undefined) return this.history.lost(write)
    // A delete in a bucket that no write has made here yet finds none.
    if (status !== (isDelete ? 204 : 200) && !(isDelete && status === 404)) {
      throw new Error(`${isDelete ? 'DELETE' : 'PUT'} ${key} at ${site}: answered with ${status}`)
    }
    this.history.answered(write)
    this.#wake()
  }

  /** The status; undefined when the site was killed meanwhile. */
  async #send({ site, key, etag }: Write, body: Buffer | undefined): Promise<number | undefined> {
    const path = `/${sharedBucket}/${key}`
    const method = etag === undefined ? 'DELETE' : 'PUT'
    const life = this.#lifeOf(site)
    try {
      const answer = await this.#sites[site].send(method, path, body === undefined ? {} : { body })
      return answer.status
    } catch (error) {
      // Only the death of the process excuses it.
      if (life === this.#lifeOf(site)) throw error
      return undefined
    }
  }

  #lifeOf(site: SiteNumber): number {
    return this.#lives[site] ?? 0
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakeups.add(resolve))
  }

  #wake(): void {
    const wakeups = [...this.#wakeups]
    this.#wakeups.clear()
    for (const wake of wakeups) wake()
  }
}

/** Mostly small; some are offered and pulled, a few in several chunks. */
function sizeOf(content: number): number {
  if (content % 40 === 0) return 1300 * kib + content
  if (content % 12 === 0) return 200 * kib + content
  return (content * 37) % (6 * kib)
}
