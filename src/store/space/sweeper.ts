/**
 * Takes purged objects out of the index, in chunks between other batches. What lies under a bucket's
 * floor is absent from the moment the floor is raised; the sweep gives the space back.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { type ComioError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { VolumeFullError } from '../../volume/format/errors.ts'
import type { Losers } from '../conflicts/losers.ts'
import { IndexFullError, StorageFullError } from '../model/errors.ts'
import type { ObjectName } from '../model/object-store.ts'
import type { Version } from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import { removeSwept } from '../tables/effects.ts'
import type { IndexBatch } from '../tables/index-batch.ts'
import { keyBytesOf, objectKey, objectsRange } from '../tables/keys.ts'
import { readSteps } from '../tables/read-all.ts'
import { decodeLiveEntry } from '../tables/slot-entry.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'
import type { HeldRoom, ReservedRoom } from '../write/reserved-room.ts'
import type { Sequencer } from '../write/sequencer.ts'
import { writeSwept } from './swept-floor.ts'

/** How long a sweep that failed is left alone. */
const againMs = 5000

/** An object under the floor that may go: that very version. */
interface Swept extends ObjectName {
  readonly version: Version
}

export interface WaitingLosers {
  readonly objects: number
  readonly bytes: number
}

export class Sweeper {
  readonly #index: OrderedIndex
  readonly #accounts: Accounts
  readonly #pipeline: CommitPipeline
  readonly #sequencer: Sequencer
  readonly #losers: Losers
  readonly #reserved: ReservedRoom
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #retries = new Map<string, Timer>()
  readonly #running = new Map<string, Promise<void>>()
  /** By bucket. */
  readonly #waiting = new Map<string, WaitingLosers>()
  #stopped = false

  constructor(options: {
    readonly index: OrderedIndex
    readonly accounts: Accounts
    readonly pipeline: CommitPipeline
    readonly sequencer: Sequencer
    readonly losers: Losers
    readonly reserved: ReservedRoom
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#index = options.index
    this.#accounts = options.accounts
    this.#pipeline = options.pipeline
    this.#sequencer = options.sequencer
    this.#losers = options.losers
    this.#reserved = options.reserved
    this.#clock = options.clock
    this.#logger = options.logger
  }

  /** Sweeps the bucket if it needs it and no sweep is under way. */
  start(bucket: string): void {
    if (this.#stopped || this.#running.has(bucket) || !this.#accounts.bucket(bucket).sweeping)
      return
    const running = this.#sweep(bucket)
      .catch((thrown: unknown) => {
        rethrowAssertion(thrown)
        // Until it goes on the objects stay absent, only their space is held.
        const isTold = isFull(thrown) && this.#waiting.has(bucket)
        if (!isTold)
          this.#logger.warn({ bucket, error: messageOf(thrown) }, 'A purge could not be swept')
        this.#retryLater(bucket)
      })
      .finally(() => this.#running.delete(bucket))
    this.#running.set(bucket, running)
  }

  /** Resolves when nothing under the bucket's floor is left in the counters. */
  async finished(bucket: string): Promise<void> {
    this.start(bucket)
    await this.#running.get(bucket)
  }

  /** Of all purges: what they had not seen, and is to be kept as soon as there is room. */
  get waiting(): WaitingLosers {
    const all = { objects: 0, bytes: 0 }
    for (const { objects, bytes } of this.#waiting.values()) {
      all.objects += objects
      all.bytes += bytes
    }
    return all
  }

  waitsIn(bucket: string): boolean {
    return this.#waiting.has(bucket)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#retries.values()) timer.cancel()
    await Promise.all(this.#running.values())
  }

  /** Said once of each bucket, and when it is over. */
  #waits(bucket: string, waiting: WaitingLosers): void {
    const { objects, bytes } = waiting
    if (objects === 0) {
      if (this.#waiting.delete(bucket))
        this.#logger.info({ bucket }, 'The purge waits for no room any more')
      return
    }
    if (!this.#waiting.has(bucket))
      this.#logger.warn(
        { bucket, objects, bytes },
        'There is no room to keep what a purge had not seen',
      )
    this.#waiting.set(bucket, waiting)
  }

  #retryLater(bucket: string): void {
    if (this.#stopped || this.#retries.has(bucket)) return
    const timer = this.#clock.after(againMs, () => {
      this.#retries.delete(bucket)
      this.start(bucket)
    })
    this.#retries.set(bucket, timer)
  }

  async #sweep(bucket: string): Promise<void> {
    for (;;) {
      let floor: Version | undefined
      // A floor counts before its batch is written. The walk must begin behind that batch, which may
      // bring further objects under the floor.
      await this.#pipeline.runTask(() => {
        floor = this.#accounts.bucket(bucket).floor
      })
      const left = await this.#pass(bucket)
      if (this.#stopped) return
      if (left.length === 0 && floor !== undefined) await this.#noteSwept(bucket, floor)
      let finished = false
      await this.#pipeline.runTask(() => {
        finished = left.length === 0 && this.#accounts.bucket(bucket).floor === floor
        if (finished) this.#accounts.updateBucket(bucket, { sweeping: false })
      })
      if (finished) return
      // Whether those writes succeed or fail, their slots can be looked at again afterwards.
      await Promise.allSettled(left)
    }
  }

  /** For who builds the index anew. Where there is no room for it the sweep has ended all the same. */
  async #noteSwept(bucket: string, floor: Version): Promise<void> {
    if (this.#accounts.bucket(bucket).swept === floor) return
    let room: HeldRoom | undefined
    try {
      room = await this.#reserved.forDelete()
      await writeSwept(this.#sequencer, bucket, floor)
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown
      this.#logger.debug(
        { bucket, error: thrown.message },
        'It is not noted that a purge was swept',
      )
    } finally {
      room?.release()
    }
  }

  /** @returns the pending writes that kept swept objects from being taken out */
  async #pass(bucket: string): Promise<readonly Promise<void>[]> {
    const bucketLength = Buffer.byteLength(bucket)
    const left: Promise<void>[] = []
    const waiting = { objects: 0, bytes: 0 }
    let full: ComioError | undefined
    let refusedBytes = Number.POSITIVE_INFINITY
    for await (const entries of readSteps(this.#index, objectsRange(bucket, Buffer.alloc(0)))) {
      if (this.#stopped) return left
      const { floor } = this.#accounts.bucket(bucket)
      const swept: Swept[] = []
      for (const [indexKey, value] of entries) {
        const entry = decodeLiveEntry(value)
        if (floor === undefined || entry.version > floor) continue
        const name = { bucket, key: keyBytesOf(indexKey, bucketLength).toString() }
        const { size } = entry.meta
        if (size >= refusedBytes && this.#losers.waitsToBeKept(name, entry)) {
          waiting.objects++
          waiting.bytes += size
          continue
        }
        // A purge never removes silently what its author had not seen.
        try {
          await this.#losers.loseSwept(name, entry)
        } catch (thrown) {
          if (!isFull(thrown)) throw thrown
          // What else lies under the floor makes the room in which this one can be kept.
          full = thrown
          refusedBytes = Math.min(refusedBytes, size)
          waiting.objects++
          waiting.bytes += size
          continue
        }
        swept.push({ ...name, version: entry.version })
      }
      if (swept.length > 0) left.push(...(await this.#remove(swept)))
    }
    this.#waits(bucket, waiting)
    if (full !== undefined) throw full
    return left
  }

  async #remove(names: readonly Swept[]): Promise<readonly Promise<void>[]> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const uncover: ((succeeded: boolean) => void)[] = []
    const left: Promise<void>[] = []
    let succeeded = false
    try {
      await this.#pipeline.runTask((batch) => {
        for (const name of names) {
          const pending = this.#sequencer.pendingOf(name)
          if (pending !== undefined) left.push(pending)
          else if (this.#removeOne(batch, name))
            uncover.push(this.#sequencer.coverSlot(name, undefined, promise))
        }
      })
      succeeded = true
    } finally {
      for (const reveal of uncover) reveal(succeeded)
      resolve()
    }
    return left
  }

  /** What has taken its place meanwhile, and fell to a newer purge, is for the next pass to look at. */
  #removeOne(batch: IndexBatch, { version, ...name }: Swept): boolean {
    const value = this.#index.get(objectKey(name.bucket, name.key))
    const { floor } = this.#accounts.bucket(name.bucket)
    if (value === undefined || floor === undefined) return false
    const entry = decodeLiveEntry(value)
    if (entry.version > floor || entry.version !== version) return false
    removeSwept(this.#sequencer.effectContext(batch), { ...name, entry })
    return true
  }
}

function isFull(error: unknown): error is ComioError {
  return (
    error instanceof StorageFullError ||
    error instanceof IndexFullError ||
    error instanceof VolumeFullError
  )
}
