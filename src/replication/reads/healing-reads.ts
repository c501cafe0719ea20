/**
 * Damaged bytes of this site's own objects. A read that meets them goes on with those of a remote,
 * from the very byte where they begin, if one is to be had, and comes back to its own where that one has
 * none; and the object is mended behind it: its bytes are put together in the same way, compared with its
 * hash and written anew. One object at a time, bounded.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { ObjectMender } from '../../store/model/elsewhere.ts'
import { CorruptObjectError } from '../../store/model/errors.ts'
import type {
  ByteRange,
  ObjectInfo,
  ObjectName,
  OpenObject,
  ReadOptions,
} from '../../store/model/object-store.ts'
import { objectSlot } from '../../store/model/slot.ts'
import type { HealOutcome } from '../../store/scrub/scrub-pass.ts'
import { type SoundBytesOptions, soundBytes } from '../sound-bytes.ts'
import type { ReadableRemote } from '../wire/site-reader.ts'
import type { ReadsTally } from './reads-tally.ts'
import type { RemoteLook } from './remote-look.ts'

export interface HealingReadsOptions {
  readonly look: RemoteLook
  readonly mender: ObjectMender
  /** This site's objects. */
  readonly open: (name: ObjectName) => OpenObject | undefined
  readonly tally: ReadsTally
  readonly clock: Clock
  readonly logger: Logger
}

/** Objects that wait to be mended; of more than these the next read reminds. */
const waitingMax = 256
/** After a failure an object is left alone for so long. */
const failedMs = 60_000

export class HealingReads {
  readonly #options: HealingReadsOptions
  /** By name and version, in the order of their discovery. */
  readonly #waiting = new Map<string, ObjectInfo>()
  readonly #failedUntil = new Map<string, number>()
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: HealingReadsOptions) {
    this.#options = options
  }

  /** The same object, read from elsewhere where its own bytes are damaged. */
  over(object: OpenObject): OpenObject {
    return new HealedObject(object, () => this.#noticed(object))
  }

  /** Mends an object that somebody found damaged, and says what came of it. */
  async heal(info: ObjectInfo): Promise<HealOutcome> {
    if (this.#remotesOf(info).length === 0) return { problem: 'there is no remote that has it' }
    // Behind those that were found before: one at a time.
    await this.#running
    return await this.#mend(idOf(info), info)
  }

  /** What is being mended is given up: the next read finds it again. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** For a client's read, of which the first damage and the first rescue are counted. */
  #noticed(object: OpenObject): SoundBytesOptions {
    const { tally, logger } = this.#options
    const { bucket, key, version } = object.info
    let isDamaged = false
    let isRescued = false
    const sources = this.#sources(object)
    return {
      ...sources,
      onDamage: (damage) => {
        if (isDamaged) return
        isDamaged = true
        tally.damagedReads++
        const error = messageOf(damage)
        logger.error({ bucket, key, version, error }, 'Stored bytes are damaged')
      },
      other: async (range) => {
        const bytes = await sources.other(range)
        this.#remember(object.info)
        if (bytes !== undefined && !isRescued) {
          isRescued = true
          tally.rescuedReads++
        }
        return bytes
      },
    }
  }

  #sources(object: OpenObject): SoundBytesOptions {
    return {
      own: (range) => object.read(range),
      other: (range) => this.#fetch(object.info, range),
      isDamage: (error) => error instanceof CorruptObjectError,
    }
  }

  async #fetch(info: ObjectInfo, range: ByteRange): Promise<AsyncIterable<Buffer> | undefined> {
    const { look } = this.#options
    for (const remote of this.#remotesOf(info)) {
      if (look.isAway(remote) || this.#stop.signal.aborted) continue
      try {
        return await look.bytes(remote, { info, range }, this.#stop.signal)
      } catch (error) {
        rethrowAssertion(error)
        look.noteFailure(remote, error)
      }
    }
    return undefined
  }

  #remotesOf({ bucket, key }: ObjectInfo): readonly ReadableRemote[] {
    return this.#options.look.sharing(objectSlot(bucket, key))
  }

  #remember(info: ObjectInfo): void {
    const id = idOf(info)
    const hasRemotes = this.#remotesOf(info).length > 0
    const isLeftAlone = this.#options.clock.monotonic() < (this.#failedUntil.get(id) ?? 0)
    if (!hasRemotes || isLeftAlone || this.#stop.signal.aborted) return
    if (this.#waiting.size >= waitingMax) return
    this.#waiting.set(id, info)
    this.#running ??= this.#mendAll().finally(() => {
      this.#running = undefined
    })
  }

  async #mendAll(): Promise<void> {
    for (const [id, info] of this.#waiting) {
      if (this.#stop.signal.aborted) return
      await this.#mend(id, info)
      this.#waiting.delete(id)
    }
  }

  async #mend(id: string, info: ObjectInfo): Promise<HealOutcome> {
    const { mender, tally, logger } = this.#options
    const { bucket, key, version } = info
    let own: OpenObject | undefined
    try {
      own = this.#options.open(info)
      if (own?.info.version !== version) return 'gone'
      const bytes = soundBytes(wholeOf(info), this.#sources(own))
      const result = await mender.mend(info, version, bytes)
      if (result === 'mismatch') throw new Error('what came does not have the hash of the object')
      this.#failedUntil.delete(id)
      // Something newer is current by now: that has bytes of its own.
      if (result === 'gone') return 'gone'
      tally.mended++
      logger.warn({ bucket, key, version }, 'Damaged bytes were replaced by those of a remote')
      return 'healed'
    } catch (error) {
      rethrowAssertion(error)
      const isLost = error instanceof CorruptObjectError
      const problem = isLost ? 'no remote has sound bytes of this version' : messageOf(error)
      if (this.#stop.signal.aborted) return { problem }
      this.#fail(id)
      logger.error({ bucket, key, version, error: problem }, 'Damaged bytes could not be replaced')
      return { problem }
    } finally {
      own?.close()
    }
  }

  #fail(id: string): void {
    this.#options.tally.mendFailures++
    this.#failedUntil.delete(id)
    this.#failedUntil.set(id, this.#options.clock.monotonic() + failedMs)
    for (const oldest of this.#failedUntil.keys()) {
      if (this.#failedUntil.size <= waitingMax) return
      this.#failedUntil.delete(oldest)
    }
  }
}

class HealedObject implements OpenObject {
  readonly info: ObjectInfo
  readonly #own: OpenObject
  /** Made when they are needed: most objects are small, and sound. */
  readonly #makeSources: () => SoundBytesOptions
  #sources: SoundBytesOptions | undefined

  constructor(own: OpenObject, makeSources: () => SoundBytesOptions) {
    this.info = own.info
    this.#own = own
    this.#makeSources = makeSources
  }

  readNow(): Buffer | undefined {
    return this.#own.readNow()
  }

  async readWhole(): Promise<Buffer> {
    try {
      return await this.#own.readWhole()
    } catch (error) {
      if (!(error instanceof CorruptObjectError)) throw error
      const pieces: Buffer[] = []
      for await (const piece of this.read()) pieces.push(piece)
      return Buffer.concat(pieces)
    }
  }

  /** What was given out already was sound. */
  read(range: ByteRange = wholeOf(this.info), options?: ReadOptions): AsyncGenerator<Buffer> {
    this.#sources ??= this.#makeSources()
    const own = (part: ByteRange): AsyncIterable<Buffer> => this.#own.read(part, options)
    return soundBytes(range, { ...this.#sources, own })
  }

  close(): void {
    this.#own.close()
  }
}

function wholeOf({ meta }: ObjectInfo): ByteRange {
  return { start: 0, end: meta.size }
}

function idOf({ bucket, key, version }: ObjectInfo): string {
  return `${bucket}/${key} ${version}`
}
