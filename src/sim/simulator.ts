/**
 * The deterministic simulation: whole sites, with the real volume, store and replication, over a
 * simulated disk, network and clock, driven from one seed. First a phase of safety, in which
 * everything fails that may fail and no promise may be broken; then all is healed, and a phase of
 * liveness, in which everything must reach every site within a bounded time.
 *
 *     seed -> options (swarm.ts), every decision (chance.ts), order and time of all events
 *       (event-queue.ts)
 *     clients (workload.ts), and what they asked for (history.ts)
 *       -> sites (sim-site.ts, sim-reads.ts), each over a disk (sim-disk.ts, sim-file.ts, sim-device.ts),
 *          an index in memory, a clock (sim-clock.ts)
 *       -> other sites over a network (sim-network.ts; what HTTP does otherwise: sim-transport.ts,
 *          sim-wire.ts, sim-site-reader.ts)
 *     chaos (chaos.ts): crashes, partitions, rot, clocks that jump; operators who replay
 *       (replay-operator.ts) and release (release-operator.ts)
 *     checks after each event (watch.ts): what sites show (observer.ts), totals (recount.ts) and what
 *       was shipped (compare-sites.ts), from their indexes (site-contents.ts)
 *     checks of answers (workload.ts), and in sync mode of the remotes behind them (confirmed.ts)
 *     checks in the end (final-checks.ts): equality, conflicts (conflict-witness.ts)
 *     what is found (violation.ts), and how it came (trace.ts)
 *
 * Nothing here takes anything from its surroundings: the one thing that a run needs from outside is
 * a way to let all promises settle between two events, which is passed in.
 */
import { ComioError } from '../base/errors.ts'
import { limitsOf } from '../volume/format/limits.ts'
import { Chance } from './chance.ts'
import { Chaos } from './chaos.ts'
import { Confirmed } from './confirmed.ts'
import { ConflictWitness } from './conflict-witness.ts'
import { EventQueue } from './event-queue.ts'
import { FinalChecks } from './final-checks.ts'
import { History } from './history.ts'
import { Observer } from './observer.ts'
import { HardwareClock } from './sim-clock.ts'
import { SimSystemError } from './sim-device.ts'
import { SimDisk } from './sim-disk.ts'
import { SimNetwork } from './sim-network.ts'
import { type Seams, SimSite } from './sim-site.ts'
import type { Directory } from './sim-transport.ts'
import type { SlotName } from './site-contents.ts'
import { remotesOf, type SimulationOptions } from './swarm.ts'
import { Trace } from './trace.ts'
import { demand, Violation } from './violation.ts'
import { Watch } from './watch.ts'
import { Workload } from './workload.ts'

/** What a run needs of its host. */
export interface SimulationHost {
  /** Resolves when every promise that can settle has: no event runs before. */
  readonly settle: () => Promise<void>
  /** What was rejected since the last call and nobody caught. */
  readonly takeUncaught: () => unknown
}

export interface SimulationResult {
  readonly seed: number
  readonly options: SimulationOptions
  /** Undefined when every promise was kept. */
  readonly violation: Violation | undefined
  /** Equal for equal runs. */
  readonly hash: string
  readonly events: number
  readonly virtualMs: number
  /** How often each kind of thing happened. */
  readonly counts: ReadonlyMap<string, number>
  readonly lastLines: readonly string[]
}

export interface SimulationInput {
  readonly seed: number
  readonly options: SimulationOptions
  readonly host: SimulationHost
  readonly seams?: Seams
  /** How many of the last lines of the trace the result has. */
  readonly lines?: number
}

/** Bounds of a run: more means that something never ends. */
const eventsMax = 300_000
const safetyMsMax = 4 * 3_600_000
/** Longer than a jump of the clock that others have to wait out, and the longest pauses of a link. */
const livenessMsMax = 20 * 60_000

export async function simulate(input: SimulationInput): Promise<SimulationResult> {
  return await new Simulation(input).run()
}

class Simulation {
  readonly #input: SimulationInput
  readonly #chance: Chance
  readonly #queue: EventQueue
  readonly #trace: Trace
  readonly #network: SimNetwork
  readonly #sites: readonly SimSite[]
  readonly #workload: Workload
  readonly #chaos: Chaos
  readonly #watch: Watch
  readonly #history = new History()
  readonly #witness = new ConflictWitness()
  #broken: unknown

  constructor(input: SimulationInput) {
    this.#input = input
    const { seed, options } = input
    this.#chance = new Chance(seed)
    const chance = this.#chance
    this.#queue = new EventQueue(chance.fork('ties'))
    const queue = this.#queue
    this.#trace = new Trace(queue)
    const trace = this.#trace
    this.#network = new SimNetwork({
      queue,
      chance: chance.fork('network'),
      trace,
      latencyMs: options.networkLatencyMs,
      faults: options.networkFaults,
    })
    const names = Array.from({ length: options.sites }, (_, at) => `site-${at + 1}`)
    this.#sites = names.map((name) => this.#makeSite(name, names))
    const slots = slotsOf(options)
    const observer = new Observer({ history: this.#history, slots })
    const sites = this.#sites
    this.#watch = new Watch({ sites, observer, trace })
    const onViolation = (violation: unknown): void => this.#break(violation)
    this.#chaos = new Chaos({
      sites,
      network: this.#network,
      queue,
      trace,
      chance: chance.fork('chaos'),
      options,
      onViolation,
    })
    this.#workload = new Workload({
      ...options,
      queue,
      chance: chance.fork('workload'),
      trace,
      history: this.#history,
      observer,
      confirmed: new Confirmed({ sites, observer, min: options.sync?.min }),
      sites: options.twoWay ? sites : sites.slice(0, 1),
      slots,
      smallBytesMax: limitsOf(options.segmentBytes).inlineBytesMax,
      onViolation,
    })
  }

  async run(): Promise<SimulationResult> {
    const { seed, options } = this.#input
    const violation = await this.#violationOf(() => this.#phases())
    return {
      seed,
      options,
      violation,
      hash: this.#trace.hash,
      events: this.#queue.ran,
      virtualMs: this.#queue.time,
      counts: this.#trace.counts,
      lastLines: this.#trace.last(this.#input.lines ?? 60),
    }
  }

  async #phases(): Promise<void> {
    const sites = this.#sites
    this.#chaos.start()
    this.#workload.start()
    const isDone = (): boolean => this.#workload.isDone || this.#chaos.hasRefused
    await this.#until('the clients are done', safetyMsMax, isDone)
    // What bits that turned over have taken nobody brings back: that nothing wrong was read is all.
    if (this.#input.options.rotEveryMs > 0) return
    this.#trace.add('heal', 'nothing fails any more')
    this.#network.heal()
    this.#chaos.heal()
    const checks = new FinalChecks({
      sites,
      queue: this.#queue,
      trace: this.#trace,
      history: this.#history,
      witness: this.#witness,
      slots: slotsOf(this.#input.options),
      keepBoth: this.#input.options.keepBoth,
    })
    await this.#until('all sites are up', livenessMsMax, () => this.#chaos.isHealed)
    await this.#until('everything is shipped', livenessMsMax, () => checks.isQuiet())
    await this.#finish(checks.replayLetters())
    await this.#until('every dead letter is shipped', livenessMsMax, () => checks.isQuiet())
    await this.#finish(checks.run())
    if (!this.#input.options.rebuild) return
    this.#trace.add('rebuild', 'every index is gone')
    await this.#finish(this.#chaos.rebuild())
    await this.#until('everything is shipped again', livenessMsMax, () => checks.isQuiet())
    await this.#finish(checks.run())
  }

  /** Runs event after event until `isReached`. @throws Violation when that takes too long */
  async #until(what: string, msMax: number, isReached: () => boolean): Promise<void> {
    const deadline = this.#queue.time + msMax
    for (;;) {
      await this.#input.host.settle()
      this.#check()
      if (isReached()) return
      const isLate = this.#queue.time > deadline || this.#queue.ran > eventsMax
      demand(!isLate, 'liveness', () => `${what}: not within bounds; ${this.#watch.describe()}`)
      demand(this.#queue.runNext(), 'liveness', () => `${what}: nothing is left to happen`)
    }
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
    await this.#until('the checks are done', livenessMsMax, () => isDone)
  }

  #check(): void {
    const uncaught = this.#input.host.takeUncaught()
    if (uncaught !== undefined) this.#break(uncaught)
    if (this.#broken !== undefined) throw this.#broken
    this.#watch.look()
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
      const isExpected = error instanceof ComioError || error instanceof SimSystemError
      const check = isExpected ? 'errors' : 'crash'
      return new Violation(
        check,
        error instanceof Error ? (error.stack ?? '') : String(error),
        error,
      )
    }
  }

  #makeSite(name: string, names: readonly string[]): SimSite {
    const { options, seams = {} } = this.#input
    const chance = this.#chance.fork(name)
    const { segmentBytes } = options
    const capacityBytes = options.capacitySegments * segmentBytes
    const queue = this.#queue
    const { skewMs, drift } = options.clock
    const off = (): number => 2 * chance.fraction() - 1
    return new SimSite({
      name,
      remotes: remotesOf(names.indexOf(name), names, options),
      queue,
      chance,
      disk: new SimDisk({
        name,
        queue,
        chance: chance.fork('disk'),
        latency: options.diskLatency,
        faults: options.diskFaults,
        capacityBytes: 2 * capacityBytes,
        onOperation: () => this.#chaos.operationDone(name),
      }),
      clock: new HardwareClock({ queue, skewMs: skewMs * off(), drift: drift * off() }),
      index: options.index,
      network: this.#network,
      directory: this.#directory(),
      segmentBytes,
      capacityBytes,
      replication: options.replication,
      reclaim: options.reclaim,
      conflictPolicy: options.keepBoth ? 'keep-both' : 'last-write-wins',
      sync: options.sync,
      packs: new Chance(this.#input.seed).fork(`${name} packs`).hits(options.packShare),
      bandwidthLimit: options.bandwidthLimit,
      trace: this.#trace,
      logger: this.#trace.logger(name),
      seams,
      onIndexed: (site, operations) => this.#witness.observe(site, operations),
    })
  }

  #directory(): Directory {
    return {
      peerOf: (site) => {
        const process = this.#sites.find(({ name }) => name === site)?.process
        if (process === undefined) return undefined
        const { receiver, tickets } = process.replicator
        return { receiver, tickets, reads: process.reads.responder }
      },
      serving: (site, work) => this.#sites.find(({ name }) => name === site)?.track(work),
      broken: (error) => this.#break(error),
    }
  }
}

function slotsOf({ buckets, keys }: SimulationOptions): readonly SlotName[] {
  const slots: SlotName[] = []
  for (let bucket = 1; bucket <= buckets; bucket++) {
    for (let key = 1; key <= keys; key++)
      slots.push({ bucket: `bucket-${bucket}`, key: `key/${key}` })
  }
  return slots
}
