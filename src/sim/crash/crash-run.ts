/**
 * Crash runs: one site, with the real volume and store over a disk that fails, under random operations,
 * that ends at a random step, again and again, also while it recovers. After each recovery everything
 * that was answered is there and intact, nothing else is there in halves, and all that is counted
 * agrees. One seed gives the same run each time.
 *
 *     seed -> options (crash-options.ts)
 *     clients (crash-workload.ts) -> site (crash-site.ts) over disk, index, clock
 *     what they were told (crash-model.ts), held against what is there (crash-checks.ts)
 */
import { ComioError } from '../../base/errors.ts'
import { ShortWriteError } from '../../device/errors.ts'
import { CorruptObjectError } from '../../store/model/errors.ts'
import { Chance } from '../chance.ts'
import { EventQueue } from '../event-queue.ts'
import { History } from '../history.ts'
import { SimSystemError } from '../sim-device.ts'
import { noDiskFaults } from '../sim-disk.ts'
import { readContents, type SiteContents, type SlotName } from '../site-contents.ts'
import { Trace } from '../trace.ts'
import { demand, Violation } from '../violation.ts'
import { type CheckParts, checkRebuilt, checkRecovered, checkTidy } from './crash-checks.ts'
import { CrashClient } from './crash-client.ts'
import { CrashModel } from './crash-model.ts'
import type { CrashOptions } from './crash-options.ts'
import { type CrashSeams, CrashSite, type Life } from './crash-site.ts'
import { type Budget, CrashWorkload } from './crash-workload.ts'
import { emptySite } from './empty-site.ts'

/** What a run needs of its host. */
export interface CrashHost {
  /** Resolves when every promise that can settle has: no event runs before. */
  readonly settle: () => Promise<void>
  /** What was rejected since the last call and nobody caught. */
  readonly takeUncaught: () => unknown
}

export interface CrashResult {
  readonly seed: number
  readonly options: CrashOptions
  /** Undefined when every promise was kept. */
  readonly violation: Violation | undefined
  /** Equal for equal runs. */
  readonly hash: string
  /** How often each kind of thing happened. */
  readonly counts: ReadonlyMap<string, number>
  readonly lastLines: readonly string[]
}

export interface CrashInput {
  readonly seed: number
  readonly options: CrashOptions
  readonly host: CrashHost
  readonly seams?: CrashSeams
  /** How many of the last lines of the trace the result has. */
  readonly lines?: number
}

type End = 'kill' | 'power'

/** Bounds of a run: more means that something never ends. */
const eventsMax = 300_000
const startsMax = 40

export async function runCrashes(input: CrashInput): Promise<CrashResult> {
  return await new CrashRun(input).run()
}

class CrashRun {
  readonly #input: CrashInput
  readonly #chance: Chance
  readonly #queue: EventQueue
  readonly #trace: Trace
  readonly #site: CrashSite
  readonly #model: CrashModel
  readonly #history = new History()
  readonly #budget: Budget
  /** Disk operations, and events, until this life ends; 0 when it does not end that way. */
  #operationsLeft = 0
  #eventsLeft = 0
  #hasEnded = false
  #end: End = 'power'
  /** Those who use the site at the moment. */
  #users: CrashClient | undefined
  #broken: unknown

  constructor(input: CrashInput) {
    this.#input = input
    const { seed, options, seams = {} } = input
    const chance = new Chance(seed)
    this.#chance = chance.fork('run')
    this.#queue = new EventQueue(chance.fork('ties'))
    this.#trace = new Trace(this.#queue)
    this.#budget = { left: options.operations }
    this.#model = new CrashModel(namesOf(options))
    this.#site = new CrashSite({
      options,
      seams,
      queue: this.#queue,
      trace: this.#trace,
      chance: chance.fork('site'),
      onOperation: () => this.#operationDone(),
    })
  }

  async run(): Promise<CrashResult> {
    const { seed, options, lines = 60 } = this.#input
    const violation = await this.#violationOf(() => this.#lives())
    const trace = this.#trace
    const { hash, counts } = trace
    return { seed, options, violation, hash, counts, lastLines: trace.last(lines) }
  }

  async #lives(): Promise<void> {
    const { options } = this.#input
    for (let left = options.crashes; left > 0; left--) await this.#live()
    this.#trace.add('heal', 'nothing fails any more')
    this.#site.heal()
    this.#hasEnded = false
    this.#operationsLeft = 0
    this.#eventsLeft = 0
    const life = await this.#start()
    demand(life !== undefined, 'start', () => 'a site whose disk is healed does not start')
    if (life !== undefined) await this.#finale(life)
  }

  /** One life: from a start, perhaps of several attempts, to its end. */
  async #live(): Promise<void> {
    this.#planEnd()
    const life = await this.#start()
    if (life === undefined) return
    await this.#check(life)
    const client = this.#client(life)
    const workload = new CrashWorkload(client, this.#budget)
    workload.start((violation) => this.#break(violation))
    await this.#until('the clients are done', () => this.#hasEnded || workload.isIdle)
    if (this.#hasEnded) return
    if (this.#chance.hits(this.#input.options.stopShare)) await this.#stop(life)
    if (!this.#hasEnded) this.#crash()
  }

  /** Nothing fails any more: everything is there, also without the index, and gives its room back. */
  async #finale(life: Life): Promise<void> {
    await this.#check(life)
    await this.#finish(checkTidy(life, this.#checks, () => this.#nudge(life)))
    await this.#check(life)
    await this.#finish(this.#site.stop(life))
    const before = readContents(this.#site.indexDisk.durable)
    this.#site.loseIndex()
    this.#model.indexLost()
    this.#trace.add('rebuild', 'the index is gone')
    const again = await this.#start()
    demand(again !== undefined, 'start', () => 'a site without its index does not start')
    if (again === undefined) return
    await this.#check(again)
    await this.#finish(checkTidy(again, this.#checks, () => this.#nudge(again)))
    checkRebuilt(before, await this.#check(again))
    const client = this.#client(again)
    await this.#finish(emptySite(client))
    await this.#finish(checkTidy(again, this.#checks, () => this.#nudge(again)))
    await this.#check(again)
    await this.#finish(this.#site.stop(again))
  }

  /** Undefined when it ended before it was up. */
  async #start(): Promise<Life | undefined> {
    for (let attempt = 0; attempt < startsMax; attempt++) {
      this.#trace.add('start', '')
      let life: Life | undefined
      let failure: unknown
      this.#site.start().then(
        (up) => {
          life = up
        },
        (error: unknown) => {
          failure = error
        },
      )
      await this.#until('the site is up', () => this.#hasEnded || (life ?? failure) !== undefined)
      if (this.#hasEnded) return undefined
      if (life !== undefined) {
        this.#trace.add('up', '')
        return life
      }
      this.#startFailed(failure)
    }
    throw new Violation('start', `not within ${startsMax} attempts`)
  }

  #startFailed(error: unknown): void {
    this.#trace.add('start-failed', textOf(error))
    const isExcused = this.#site.disk.faults !== noDiskFaults || this.#site.indexFaults > 0
    if (!isExcused || !isFault(error)) {
      throw new Violation('start', `the site does not start: ${stackOf(error)}`, error)
    }
    this.#site.crash(this.#chance.hits(0.5) ? 'kill' : 'power')
  }

  #planEnd(): void {
    const { stepsMax, powerShare } = this.#input.options
    const chance = this.#chance
    this.#hasEnded = false
    this.#end = chance.hits(powerShare) ? 'power' : 'kill'
    const steps = chance.between(1, stepsMax)
    this.#operationsLeft = 0
    this.#eventsLeft = 0
    if (chance.hits(0.5)) this.#operationsLeft = steps
    else this.#eventsLeft = 2 * steps
  }

  /** The moment behind a disk operation, before anybody learns that it was done. */
  #operationDone(): void {
    if (this.#operationsLeft === 0) return
    this.#operationsLeft--
    if (this.#operationsLeft === 0) this.#crash()
  }

  #crash(): void {
    const { indexLoss } = this.#input.options
    this.#hasEnded = true
    this.#operationsLeft = 0
    this.#eventsLeft = 0
    this.#trace.add(`crash-${this.#end}`, '')
    this.#users?.cutOff()
    this.#users = undefined
    this.#site.crash(this.#end)
    if (!this.#chance.hits(indexLoss)) return
    this.#trace.add('index-lost', '')
    this.#site.loseIndex()
    this.#model.indexLost()
  }

  async #stop(life: Life): Promise<void> {
    this.#trace.add('stop', '')
    let isDone = false
    this.#site.stop(life).then(
      () => {
        isDone = true
        this.#hasEnded = true
      },
      (error: unknown) => {
        isDone = true
        if (!isFault(error)) this.#break(error)
      },
    )
    await this.#until('the site has stopped', () => isDone || this.#hasEnded)
  }

  /** The disk behaves while everything is looked at: a check is no part of what is checked. */
  async #check(life: Life): Promise<SiteContents> {
    const { disk, indexFaults } = this.#site
    const { faults } = disk
    const left = [this.#operationsLeft, this.#eventsLeft] as const
    this.#operationsLeft = 0
    this.#eventsLeft = 0
    this.#site.heal()
    let contents: SiteContents | undefined
    await this.#finish(
      checkRecovered(life, this.#checks).then((found) => {
        contents = found
      }),
    )
    disk.faults = faults
    this.#site.indexFaults = indexFaults
    this.#operationsLeft = left[0]
    this.#eventsLeft = left[1]
    this.#trace.add('checked', '')
    return contents as SiteContents
  }

  get #checks(): CheckParts {
    return {
      site: this.#site,
      queue: this.#queue,
      model: this.#model,
      history: this.#history,
    }
  }

  #client(life: Life): CrashClient {
    this.#users = new CrashClient(life, {
      options: this.#input.options,
      queue: this.#queue,
      chance: this.#chance.fork(`clients ${this.#queue.ran}`),
      trace: this.#trace,
      history: this.#history,
      model: this.#model,
      indexed: () => this.#site.indexDisk.durable,
    })
    return this.#users
  }

  /** One more write, that changes nothing: a store looks for empty segments when it has indexed something. */
  async #nudge({ engine, ledger }: Life): Promise<void> {
    await ledger.settle([])
    demand(engine.health().writable, 'writable', () => engine.health().reasons.join(', '))
  }

  /** Runs events until `work` is done. */
  async #finish(work: Promise<void>): Promise<void> {
    let isDone = false
    work.then(
      () => {
        isDone = true
      },
      (error: unknown) => this.#break(error),
    )
    await this.#until('it is done', () => isDone)
  }

  /** Runs event after event until `isReached`. @throws Violation when that takes too long */
  async #until(what: string, isReached: () => boolean): Promise<void> {
    for (;;) {
      await this.#input.host.settle()
      const uncaught = this.#input.host.takeUncaught()
      if (uncaught !== undefined) this.#break(uncaught)
      if (this.#broken !== undefined) throw this.#broken
      if (isReached()) return
      demand(this.#queue.ran < eventsMax, 'liveness', () => `not within bounds: ${what}`)
      demand(this.#queue.runNext(), 'liveness', () => `nothing is left to happen until ${what}`)
      if (this.#eventsLeft === 0) continue
      this.#eventsLeft--
      if (this.#eventsLeft === 0) this.#crash()
    }
  }

  #break(error: unknown): void {
    this.#broken ??= error
  }

  async #violationOf(work: () => Promise<void>): Promise<Violation | undefined> {
    try {
      await work()
      return undefined
    } catch (error) {
      if (error instanceof Violation) return error
      // Rot is none of this suite's faults: bytes that were answered are lost.
      if (error instanceof CorruptObjectError)
        return new Violation('content', stackOf(error), error)
      const isNamed = error instanceof ComioError || error instanceof SimSystemError
      return new Violation(isNamed ? 'errors' : 'assertion', stackOf(error), error)
    }
  }
}

function namesOf({ buckets, keys }: CrashOptions): readonly SlotName[] {
  const names: SlotName[] = []
  for (let bucket = 1; bucket <= buckets; bucket++) {
    for (let key = 1; key <= keys; key++)
      names.push({ bucket: `bucket-${bucket}`, key: `key/${key}` })
  }
  return names
}

/** Whether the error comes from a fault of the disk or the index, or from a disk too full to begin. */
function isFault(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof SimSystemError || cause instanceof ShortWriteError) return true
    if (cause instanceof ComioError && cause.code === 'VOLUME_FULL') return true
  }
  return false
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
