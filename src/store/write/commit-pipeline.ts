/**
 * The write path behind the sequencer. Everything sequenced while the last sync ran becomes one
 * group of the log; a durable group becomes one index batch; then its writers are answered. The two
 * steps are a pipeline: group n is being indexed while n+1 is synced and n+2 gathers.
 *
 * A failed group takes every gathered one with it, since those were decided on its outcome. While an
 * index batch cannot be written no write is taken, and the batch is tried again: the log has what is in
 * it. What is behind it in the log waits for it, so that everything takes effect in its order.
 */
import { assert, rethrowAssertion } from '../../base/assert.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { type ComioError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { IndexWriteError } from '../../index/errors.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location, LogPosition, RecordInput } from '../../volume/volume.ts'
import { IndexFullError, StoreUnavailableError } from '../model/errors.ts'
import type { Accounts } from '../tables/accounts.ts'
import { IndexBatch } from '../tables/index-batch.ts'
import { Stall } from './stall.ts'

/** What the pipeline needs of the volume. */
export interface GroupLog {
  readonly limits: { readonly groupBytesMax: number }
  appendGroup(records: readonly RecordInput[]): Promise<readonly Location[]>
  logPosition(): LogPosition
}

export interface LogItem {
  readonly record: RecordInput
  /** Approximate bytes in the group. */
  readonly bytes: number
  /** Called when the record is durable, before any effect of its group. */
  logged(location: Location): void
  /** Adds what the record does to the batch. */
  effects(batch: IndexBatch): void
  /**
   * Called when it is indexed, or has failed: without a trace, unless the store is of no use any more and
   * the record is in the log, where the next start finds it.
   */
  settled(error: Error | undefined): void
}

interface IndexTask {
  build(batch: IndexBatch): void
  settled(error: Error | undefined): void
}

interface LoggedGroup {
  readonly items: readonly LogItem[]
  readonly position: LogPosition
}

const groupRecordsMax = 1024
const loggedGroupsMax = 4
const gatheredBytesMax = 32 * 2 ** 20
/** Between two tries of a batch that could not be written. */
const againMs = 1000

export class CommitPipeline {
  readonly #log: GroupLog
  readonly #index: OrderedIndex
  readonly #accounts: Accounts
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #onIndexed: (batch: IndexBatch) => void
  readonly #endOfTurn: () => Promise<void>
  #gathered: LogItem[] = []
  #gatheredBytes = 0
  #logged: LoggedGroup[] = []
  #tasks: IndexTask[] = []
  #logging: Promise<void> | undefined
  #indexing: Promise<void> | undefined
  readonly #stall = new Stall()
  /** Aborted when nothing is waited for any more. */
  readonly #end = new AbortController()
  #broken: StoreUnavailableError | undefined
  readonly #waitingForRoom: (() => void)[] = []
  #indexDrained: (() => void) | undefined

  constructor(options: {
    readonly log: GroupLog
    readonly index: OrderedIndex
    readonly accounts: Accounts
    readonly clock: Clock
    readonly logger: Logger
    /** Called after each index batch. */
    readonly onIndexed: (batch: IndexBatch) => void
    /** Resolves when whatever else is being served now has been: it joins the same group. */
    readonly endOfTurn?: (() => Promise<void>) | undefined
  }) {
    this.#log = options.log
    this.#index = options.index
    this.#accounts = options.accounts
    this.#clock = options.clock
    this.#logger = options.logger
    this.#onIndexed = options.onIndexed
    this.#endOfTurn = options.endOfTurn ?? (() => Promise.resolve())
  }

  /** Why no write is taken at the moment, if so. */
  get refusal(): ComioError | undefined {
    return this.#broken ?? this.#stall.reason
  }

  /** As {@link Stall.answered}: for whoever must not be kept waiting while the index cannot be written. */
  answered<T>(done: Promise<T>, late?: (value: T) => void): Promise<T> {
    return this.#stall.answered(done, late)
  }

  /** True while the accounts may be ahead of what is durable in the index. */
  get isIndexing(): boolean {
    return this.#indexing !== undefined || this.#broken !== undefined
  }

  /** As {@link Stall.settled}. */
  get settled(): Promise<void> | undefined {
    return this.#stall.settled
  }

  /** Whether {@link room} has nothing to wait for: the usual case, in which a promise can be spared. */
  get hasRoom(): boolean {
    return this.#gatheredBytes <= gatheredBytesMax && this.refusal === undefined
  }

  /** Resolves when there is room for another record. */
  async room(): Promise<void> {
    while (this.#gatheredBytes > gatheredBytesMax && this.refusal === undefined) {
      await new Promise<void>((resolve) => this.#waitingForRoom.push(resolve))
    }
    if (this.refusal !== undefined) throw this.refusal
  }

  /** Takes a sequenced record; order of calls is order in the log. */
  append(item: LogItem): void {
    if (this.refusal !== undefined) {
      item.settled(this.refusal)
      return
    }
    this.#gathered.push(item)
    this.#gatheredBytes += item.bytes
    this.#logging ??= this.#runLog()
  }

  /** Resolves when what the accounts count already is in the index, and whoever looks at that has looked. */
  async indexed(): Promise<void> {
    if (this.#indexing === undefined || this.#broken !== undefined) return
    // Also when the batch fails, which is for those to hear who have something in it.
    await new Promise<void>((resolve) => {
      this.#tasks.push({ build: () => undefined, settled: () => resolve() })
    })
  }

  /** Runs `build` with the next index batch; resolves when that is durable, however long that takes. */
  runTask(build: (batch: IndexBatch) => void): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken)
    return new Promise((resolve, reject) => {
      const settled = (error: Error | undefined): void => (error ? reject(error) : resolve())
      this.#tasks.push({ build, settled })
      this.#indexing ??= this.#runIndex()
    })
  }

  /** From now on a batch that cannot be written is given up: the log has it for the next start. */
  stopWaiting(): void {
    this.#end.abort()
  }

  /** Resolves when everything taken so far is settled. */
  async drained(): Promise<void> {
    while (this.#logging !== undefined || this.#indexing !== undefined) {
      await Promise.all([this.#logging, this.#indexing])
    }
  }

  async #runLog(): Promise<void> {
    for (;;) {
      await this.#endOfTurn()
      if (this.#gathered.length === 0) break
      const items = this.#takeGroup()
      try {
        const locations = await this.#log.appendGroup(items.map((item) => item.record))
        items.forEach((item, at) => {
          const location = locations[at]
          assert(location !== undefined, 'the volume answers a location per record')
          item.logged(location)
        })
      } catch (thrown) {
        // A broken invariant ends the process: answering it as a failed write would hide it.
        rethrowAssertion(thrown)
        this.#failGroup(items, thrown)
        continue
      }
      if (this.#broken !== undefined) {
        // The index broke while this group was being logged: it counts after the next start.
        for (const item of items) item.settled(this.#broken)
        break
      }
      this.#logged.push({ items, position: this.#log.logPosition() })
      this.#indexing ??= this.#runIndex()
      while (this.#logged.length >= loggedGroupsMax && this.refusal === undefined) {
        await new Promise<void>((resolve) => {
          this.#indexDrained = resolve
        })
      }
    }
    this.#logging = undefined
  }

  #takeGroup(): LogItem[] {
    const limit = this.#log.limits.groupBytesMax
    let bytes = 0
    let count = 0
    for (const item of this.#gathered) {
      if (count > 0 && (bytes + item.bytes > limit || count === groupRecordsMax)) break
      bytes += item.bytes
      count++
    }
    const items = this.#gathered.slice(0, count)
    this.#gathered = this.#gathered.slice(count)
    this.#gatheredBytes -= bytes
    this.#wakeWaiting()
    return items
  }

  /** The failed group, and all that was decided while it was under way. */
  #failGroup(items: readonly LogItem[], thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(messageOf(thrown))
    this.#logger.error(
      { error: error.message, writes: items.length },
      'A group could not be logged',
    )
    for (const item of items) item.settled(error)
    this.#failGathered(error)
  }

  /** None of these has reached the log. */
  #failGathered(error: Error): void {
    const failed = this.#gathered
    this.#gathered = []
    this.#gatheredBytes = 0
    for (const item of failed) item.settled(error)
    this.#wakeWaiting()
  }

  async #runIndex(): Promise<void> {
    await Promise.resolve()
    while ((this.#logged.length > 0 || this.#tasks.length > 0) && this.#broken === undefined) {
      const groups = this.#logged
      const tasks = this.#tasks
      this.#logged = []
      this.#tasks = []
      this.#indexDrained?.()
      let batch: IndexBatch
      try {
        batch = this.#buildBatch(groups, tasks)
        await this.#write(batch)
      } catch (thrown) {
        rethrowAssertion(thrown)
        this.#break(thrown, groups, tasks)
        break
      }
      for (const group of groups) for (const item of group.items) item.settled(undefined)
      for (const task of tasks) task.settled(undefined)
      this.#onIndexed(batch)
    }
    this.#indexing = undefined
  }

  /** Until it succeeds: the batch is what the accounts and whoever decides rest upon. */
  async #write({ operations }: IndexBatch): Promise<void> {
    for (;;) {
      try {
        await this.#index.write(operations)
        break
      } catch (thrown) {
        if (!(thrown instanceof IndexWriteError) || this.#end.signal.aborted) throw thrown
        rethrowAssertion(thrown)
        this.#stallFor(thrown)
        await delay(this.#clock, againMs, this.#end.signal)
      }
    }
    if (this.#stall.reason === undefined) return
    this.#stall.end()
    this.#logger.info({}, 'The index is written again')
  }

  #stallFor(failure: IndexWriteError): void {
    if (this.#stall.reason !== undefined) return
    this.#logger.error({ error: failure.message }, 'The index cannot be written')
    const reason = failure.isForRoom
      ? new IndexFullError(failure)
      : new StoreUnavailableError(
          `the index cannot be written (${failure.message}), so no write is taken`,
          {
            cause: failure,
            hint: 'It is tried again every second; look at the disk of the index.',
          },
        )
    this.#stall.begin(reason)
    this.#failGathered(reason)
    this.#indexDrained?.()
  }

  #buildBatch(groups: readonly LoggedGroup[], tasks: readonly IndexTask[]): IndexBatch {
    const batch = new IndexBatch(this.#index)
    for (const group of groups) {
      for (const item of group.items) item.effects(batch)
      this.#accounts.checkpointAt(group.position)
    }
    for (const task of tasks) task.build(batch)
    this.#accounts.flush(batch)
    return batch
  }

  #break(thrown: unknown, groups: readonly LoggedGroup[], tasks: readonly IndexTask[]): void {
    const error = new StoreUnavailableError(
      `the index could not be written (${messageOf(thrown)}), so no write is taken`,
      { cause: thrown, hint: 'Start the site again: the log holds every answered write.' },
    )
    this.#broken = error
    this.#stall.end()
    this.#logger.error({ error: messageOf(thrown) }, 'The index could not be written')
    for (const group of [...groups, ...this.#logged]) {
      for (const item of group.items) item.settled(error)
    }
    for (const task of [...tasks, ...this.#tasks]) task.settled(error)
    this.#logged = []
    this.#tasks = []
    this.#failGathered(error)
    this.#indexDrained?.()
  }

  #wakeWaiting(): void {
    if (this.#gatheredBytes > gatheredBytesMax) return
    for (const wake of this.#waitingForRoom.splice(0)) wake()
  }
}
