/**
 * Room that is kept for the index on its disk: a file that goes when a write finds no space, so that
 * deletes and purges, which make room, can still be indexed. It is as large as what LevelDB has to write
 * when it is opened again, and is made anew once the disk has room.
 */
import { open, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { rethrowAssertion } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { messageOf, systemCodeOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'

/** Its name, and that of what proves that there is room. */
const reserveFile = 'RESERVE'
export const probeFile = 'PROBE'

const mib = 2 ** 20
const reserveBytesMin = 4 * mib
/** Two logs of LevelDB, each of which is read back into a table, by the index and by a view of it. */
const reserveBytesMax = 64 * mib
/** What else is written when an index is opened anew. */
export const openingBytes = 2 * mib
/** Of the batch that could not be written. */
const batchBytes = mib
/** Of a small disk no more than this part. */
const diskShare = 16
/** How long the disk is left alone after it was asked. */
const lookMs = 1000

export interface ReserveParts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** Gives away what an earlier process has kept. @returns whether there was any */
export async function dropReserve(folder: string): Promise<boolean> {
  if ((await sizeOf(join(folder, reserveFile))) === 0) return false
  await rm(join(folder, reserveFile), { force: true })
  return true
}

export class IndexReserve {
  readonly #folder: string
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  #bytes: number
  /** Since the index was opened: what its log may have. */
  #written = 0
  #looking: Promise<void> | undefined
  #lookAfter = 0
  #isClosed = false

  private constructor(folder: string, parts: ReserveParts & { readonly bytes: number }) {
    this.#folder = folder
    this.#clock = parts.clock
    this.#random = parts.random
    this.#logger = parts.logger
    this.#bytes = parts.bytes
  }

  static async open(folder: string, parts: ReserveParts): Promise<IndexReserve> {
    const bytes = await sizeOf(join(folder, reserveFile))
    const reserve = new IndexReserve(folder, { ...parts, bytes })
    reserve.look()
    await reserve.idle()
    return reserve
  }

  /** There is none: what is free is for what gives room back. */
  get isSpent(): boolean {
    if (this.#bytes === 0) this.look()
    return this.#bytes === 0
  }

  wrote(bytes: number): void {
    this.#written += bytes
    if (this.#bytes < Math.min(this.#needed, reserveBytesMax)) this.look()
  }

  /** Gives the room away. */
  async release(): Promise<void> {
    await this.idle()
    if (this.#bytes === 0) return
    await rm(join(this.#folder, reserveFile), { force: true })
    this.#logger.warn(
      { path: this.#folder, bytes: this.#bytes },
      'The reserve of the index is used',
    )
    this.#bytes = 0
    this.#lookAfter = this.#clock.monotonic() + lookMs
  }

  /** Writes so much and takes it away again. @throws what the system says when there is no room */
  async proveRoom(bytes: number): Promise<void> {
    const path = join(this.#folder, probeFile)
    try {
      await appendBytes(path, bytes, this.#random)
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Makes it, or makes it larger, in the background, when the disk has room for it. */
  look(): void {
    if (this.#isClosed || this.#looking !== undefined) return
    if (this.#clock.monotonic() < this.#lookAfter) return
    this.#lookAfter = this.#clock.monotonic() + lookMs
    this.#looking = this.#look()
      .catch((thrown: unknown) => {
        rethrowAssertion(thrown)
        this.#logger.warn({ error: messageOf(thrown) }, 'No reserve could be made for the index')
      })
      .finally(() => {
        this.#looking = undefined
      })
  }

  async idle(): Promise<void> {
    await this.#looking
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.idle()
  }

  async #look(): Promise<void> {
    const { total, free } = await diskOf(this.#folder)
    const wanted = Math.min(this.#wanted, Math.ceil(total / diskShare))
    // As much again is left free: it would be given away in the next moment.
    if (wanted <= this.#bytes || free < 2 * wanted) return
    const isNew = this.#bytes === 0
    await appendBytes(join(this.#folder, reserveFile), wanted - this.#bytes, this.#random)
    this.#bytes = wanted
    if (isNew) this.#logger.debug({ path: this.#folder, bytes: wanted }, 'The index has a reserve')
  }

  /** Doubled step by step, so that few writes make it. */
  get #wanted(): number {
    let bytes = reserveBytesMin
    while (bytes < this.#needed && bytes < reserveBytesMax) bytes *= 2
    return bytes
  }

  get #needed(): number {
    return 2 * this.#written + openingBytes + batchBytes
  }
}

/** No zeros, which some file systems keep in no space at all. @throws after which nothing is left of it */
async function appendBytes(path: string, bytes: number, random: Random): Promise<void> {
  const piece = random.bytes(Math.min(bytes, mib))
  const file = await open(path, 'a', 0o600)
  try {
    const { size } = await file.stat()
    try {
      for (let left = bytes; left > 0; left -= piece.length) {
        await file.appendFile(piece.subarray(0, left))
      }
      await file.datasync()
    } catch (thrown) {
      await file.truncate(size)
      throw thrown
    }
  } finally {
    await file.close()
  }
}

async function diskOf(path: string): Promise<{ readonly total: number; readonly free: number }> {
  const { bsize, blocks, bavail } = await statfs(path)
  return { total: bsize * blocks, free: bsize * bavail }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return 0
    throw thrown
  }
}
