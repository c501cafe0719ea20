/**
 * Writers that record what they were answered, so that after a crash every object can be held
 * against it: what was answered last is there, or what was asked for afterwards and not answered.
 */
import { expect } from 'vitest'
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import { bytesOf } from './content.ts'
import { inParallel } from './parallel.ts'
import { listBucket } from './site-contents.ts'
import type { SiteProcess } from './site-process.ts'

/** The seed of an object's bytes; 0 where there is none. */
type Content = number
const absent: Content = 0

interface Record {
  answered: Content
  /** In flight, or never answered. */
  asked: Content | undefined
}

const connections = 16
const keysEach = 8
const bucket = 'load'
const kib = 1024

export class RecordedLoad {
  readonly #random: Random
  readonly #records = new Map<string, Record>()
  #lastSeed = 0
  #answers = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    for (let i = 0; i < connections * keysEach; i++) {
      this.#records.set(`${i % connections}/${i}`, { answered: absent, asked: undefined })
    }
  }

  /**
   * Writes over all connections until each has lost its site. Calls `interfere` once, when `count`
   * answers have come and more are awaited.
   */
  async run(site: SiteProcess, count: number, interfere: () => Promise<unknown>): Promise<void> {
    const enough = this.#answers + count
    let ended: Promise<unknown> | undefined
    await inParallel(connections, connections, async (connection) => {
      while (await this.#write(site, connection)) {
        if (this.#answers >= enough) ended ??= interfere()
      }
    })
    await ended
  }

  /** Every object is one that it may be, and from now on it is that one. */
  async verify(site: SiteProcess): Promise<void> {
    const sizes = new Map<string, number>()
    await inParallel(connections, this.#records.size, async (i) => {
      const [key, record] = [...this.#records][i] as [string, Record]
      const found = await this.#identify(site, key, record)
      record.answered = found
      record.asked = undefined
      if (found !== absent) sizes.set(key, sizeOf(found))
    })
    const listed = sizes.size === 0 ? [] : await listBucket(site, bucket)
    expect(new Map(listed.map(({ key, size }) => [key, size]))).toEqual(sizes)
  }

  async #identify(site: SiteProcess, key: string, record: Record): Promise<Content> {
    const { status, body } = await site.send('GET', `/${bucket}/${key}`)
    for (const content of [record.answered, record.asked ?? record.answered]) {
      if (content === absent && status === 404) return content
      if (content === absent || status !== 200) continue
      if (body.equals(bytesOf(content, sizeOf(content)))) return content
    }
    const found = `${status} with ${body.length} bytes`
    throw new Error(`${key} is ${found}, and should be one of ${JSON.stringify(record)}`)
  }

  /** False once the site is gone. */
  async #write(site: SiteProcess, connection: number): Promise<boolean> {
    const key = `${connection}/${connection + connections * randomBelow(this.#random, keysEach)}`
    const record = this.#records.get(key) as Record
    const isDelete = randomBelow(this.#random, 5) === 0
    const content = isDelete ? absent : ++this.#lastSeed
    record.asked = content
    let status: number
    try {
      const body = isDelete ? undefined : bytesOf(content, sizeOf(content))
      const options = body === undefined ? {} : { body }
      status = (await site.send(isDelete ? 'DELETE' : 'PUT', `/${bucket}/${key}`, options)).status
    } catch {
      // The site was killed: whether this write took effect is open.
      return false
    }
    // A delete in a bucket that no write has made yet finds none.
    if (status === 404 && isDelete) return true
    if (status !== (isDelete ? 204 : 200)) throw new Error(`${key}: answered with ${status}`)
    this.#answers++
    record.answered = content
    record.asked = undefined
    return true
  }
}

/** Mostly small, some larger than a record of the log holds, a few in several chunks. */
function sizeOf(content: Content): number {
  if (content % 40 === 0) return 1536 * kib + content
  if (content % 10 === 0) return 300 * kib + content
  return (content * 37) % (8 * kib)
}
