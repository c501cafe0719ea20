/**
 * Everything that goes wrong, and the operator who puts it right: sites crash and are started again,
 * are stopped in good order, lose their index; the network parts; clocks jump.
 */
import { assert } from '../base/assert.ts'
import { ComioError, messageOf } from '../base/errors.ts'
import { ShortWriteError } from '../device/errors.ts'
import type { Chance } from './chance.ts'
import type { EventQueue } from './event-queue.ts'
import { ReleaseOperator } from './release-operator.ts'
import { ReplayOperator } from './replay-operator.ts'
import { SimSystemError } from './sim-device.ts'
import type { SimNetwork } from './sim-network.ts'
import type { CrashKind, SimSite } from './sim-site.ts'
import type { SimulationOptions } from './swarm.ts'
import type { Trace } from './trace.ts'
import { Violation } from './violation.ts'

export interface ChaosOptions {
  readonly sites: readonly SimSite[]
  readonly network: SimNetwork
  readonly queue: EventQueue
  readonly trace: Trace
  readonly chance: Chance
  readonly options: SimulationOptions
  readonly onViolation: (violation: unknown) => void
}

interface Ward {
  readonly site: SimSite
  state: 'down' | 'starting' | 'up' | 'stopping' | 'refused'
  /** Raised with each end, so that what was planned for an earlier life is dropped. */
  life: number
  /** Disk operations until the next crash; 0 when none is planned that way. */
  operationsLeft: number
  crash: CrashKind
  /** Started again since everything was healed. */
  isHealed: boolean
}

/** So often a site ends; then it is left alone, so that a run comes to its end too. */
const endsMax = 30
/** How often the operator looks whether a site still takes writes. */
const lookEveryMs = 500
const stopMsMax = 120_000
/** Room for everything in the end, in segments. */
const healedSegments = 4000

export class Chaos {
  readonly #options: ChaosOptions
  readonly #wards: ReadonlyMap<string, Ward>
  readonly #releases: ReleaseOperator
  #isOver = false

  constructor(options: ChaosOptions) {
    this.#options = options
    this.#releases = new ReleaseOperator({ ...options, chance: options.chance.fork('releases') })
    this.#wards = new Map(
      options.sites.map((site) => [
        site.name,
        { site, state: 'down', life: 0, operationsLeft: 0, crash: 'kill', isHealed: false },
      ]),
    )
  }

  get isHealed(): boolean {
    return [...this.#wards.values()].every((ward) => ward.isHealed && ward.state === 'up')
  }

  /** A site has found that its disk lies, and does not start any more. */
  get hasRefused(): boolean {
    return [...this.#wards.values()].some(({ state }) => state === 'refused')
  }

  start(): void {
    const { partitions, clock, rotEveryMs, replayEveryMs, releaseEveryMs } = this.#options.options
    const { trace } = this.#options
    for (const ward of this.#wards.values()) {
      this.#boot(ward)
      this.#repeatedly(clock.jumpEveryMs, () => this.#jump(ward.site))
      this.#lookAfter(ward)
      this.#repeatedly(rotEveryMs, () => {
        trace.add('rot', ward.site.name)
        ward.site.disk.rot()
      })
    }
    this.#repeatedly(partitions.everyMs, () => this.#part())
    const operator = new ReplayOperator({
      ...this.#options,
      chance: this.#options.chance.fork('replays'),
    })
    this.#repeatedly(replayEveryMs, () => operator.replaySomething())
    this.#repeatedly(releaseEveryMs, () => this.#releases.releaseSomething())
  }

  /** A disk operation of the site has taken effect: the moment for a crash that nobody expects. */
  operationDone(site: string): void {
    const ward = this.#wards.get(site)
    if (ward === undefined || ward.operationsLeft === 0) return
    ward.operationsLeft--
    if (ward.operationsLeft === 0) this.#crash(ward, ward.crash)
  }

  /** From now on nothing goes wrong; every site is started again, with room. */
  heal(): void {
    this.#isOver = true
    const { segmentBytes, releaseEveryMs } = this.#options.options
    if (releaseEveryMs > 0) this.#releases.releaseAll()
    for (const ward of this.#wards.values()) {
      ward.operationsLeft = 0
      ward.site.heal(healedSegments * segmentBytes)
      ward.site.clock.set(0)
      if (ward.state === 'starting') this.#crash(ward, 'kill')
      if (ward.state === 'up') this.#stop(ward)
      else if (ward.state === 'down') this.#boot(ward)
    }
  }

  /** Every site begins again with an empty index. */
  async rebuild(): Promise<void> {
    for (const { site } of this.#wards.values()) {
      await site.stop()
      site.loseIndex()
      await site.start()
    }
  }

  // --- starting and ending

  #boot(ward: Ward): void {
    assert(ward.state === 'down', 'a site that is down is started')
    const { trace, chance, options } = this.#options
    const { site } = ward
    ward.state = 'starting'
    trace.add('start', site.name)
    const { life } = ward
    const isHealed = this.#isOver
    const { startShare, powerShare } = options.crashes
    if (!isHealed && ward.life < endsMax && chance.hits(startShare)) {
      ward.operationsLeft = chance.between(1, 60)
      ward.crash = chance.hits(powerShare) ? 'power' : 'kill'
    }
    site.start().then(
      () => {
        ward.state = 'up'
        ward.isHealed = isHealed
        trace.add('up', site.name)
        this.#planEnd(ward)
      },
      (error: unknown) => {
        if (life === ward.life) this.#startFailed(ward, error)
      },
    )
  }

  #startFailed(ward: Ward, error: unknown): void {
    const { trace, onViolation, options } = this.#options
    trace.add('start-failed', `${ward.site.name} ${messageOf(error)}`)
    if (options.rotEveryMs > 0 && error instanceof ComioError) {
      this.#crash(ward, 'kill')
      ward.state = 'refused'
      return
    }
    if (this.#isOver || !isFault(error)) {
      const { name } = ward.site
      onViolation(new Violation('start', `${name} does not start: ${textOf(error)}`, error))
      return
    }
    this.#crash(ward, 'kill')
  }

  #crash(ward: Ward, kind: CrashKind): void {
    const { trace, chance, options } = this.#options
    trace.add(`crash-${kind}`, `${ward.site.name} while ${ward.state}`)
    ward.site.crash(kind)
    if (chance.hits(this.#isOver ? 0 : options.crashes.indexLoss)) {
      trace.add('index-lost', ward.site.name)
      ward.site.loseIndex()
    }
    this.#ended(ward)
  }

  #stop(ward: Ward): void {
    const { trace, queue, onViolation } = this.#options
    const { site } = ward
    trace.add('stop', site.name)
    ward.state = 'stopping'
    const { life } = ward
    const deadline = queue.after(stopMsMax, () => {
      if (life !== ward.life) return
      onViolation(new Violation('stop', `${site.name} does not stop`))
    })
    site.stop().then(
      () => {
        deadline.cancel()
        if (life === ward.life) this.#ended(ward)
      },
      (error: unknown) => {
        deadline.cancel()
        const isExpected = error instanceof ComioError || error instanceof SimSystemError
        if (!isExpected) onViolation(error)
        else if (life === ward.life) this.#crash(ward, 'kill')
      },
    )
  }

  #ended(ward: Ward): void {
    const { queue, chance, options } = this.#options
    ward.state = 'down'
    ward.operationsLeft = 0
    const life = ++ward.life
    const downMs = this.#isOver ? 1 : chance.around(options.crashes.downMs)
    queue.after(downMs, () => {
      if (ward.state === 'down' && ward.life === life) this.#boot(ward)
    })
  }

  /** Each process that has come up ends some time later, in one way or another. */
  #planEnd(ward: Ward): void {
    const { everyMs, powerShare, stopShare, atOperationShare } = this.#options.options.crashes
    const { chance, queue } = this.#options
    if (everyMs === 0 || this.#isOver || ward.life >= endsMax) return
    const { life } = ward
    queue.after(chance.around(everyMs), () => {
      if (this.#isOver || ward.life !== life || ward.state !== 'up') return
      if (chance.hits(stopShare)) return this.#stop(ward)
      ward.crash = chance.hits(powerShare) ? 'power' : 'kill'
      if (chance.hits(atOperationShare)) ward.operationsLeft = chance.between(1, 20)
      else this.#crash(ward, ward.crash)
    })
  }

  /** The operator starts a site again that has stopped taking writes for good. */
  #lookAfter(ward: Ward): void {
    const { trace } = this.#options
    const look = (): void => {
      const { process } = ward.site
      if (ward.state === 'up' && process?.engine.health().writable === false) {
        trace.add('unwritable', ward.site.name)
        this.#stop(ward)
      }
      this.#options.queue.after(lookEveryMs, look)
    }
    look()
  }

  // --- network and clocks

  #part(): void {
    const { sites, network, queue, chance, trace, options } = this.#options
    const from = chance.pick(sites).name
    const to = chance.pick(sites.filter(({ name }) => name !== from)).name
    const ways = chance.hits(0.5)
      ? ([[from, to]] as const)
      : ([
          [from, to],
          [to, from],
        ] as const)
    trace.add('partition', ways.map((way) => way.join('>')).join(' '))
    for (const way of ways) network.sever(...way)
    queue.after(chance.around(options.partitions.lastMs), () => {
      for (const way of ways) network.mend(...way)
    })
  }

  #jump(site: SimSite): void {
    const { chance, trace, options } = this.#options
    const ms = Math.round((2 * chance.fraction() - 1) * options.clock.jumpMs)
    trace.add('jump', `${site.name} ${ms}`)
    site.clock.set(ms)
  }

  #repeatedly(everyMs: number, happen: () => void): void {
    if (everyMs === 0) return
    const { queue, chance } = this.#options
    queue.after(chance.around(everyMs), () => {
      if (this.#isOver) return
      happen()
      this.#repeatedly(everyMs, happen)
    })
  }
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
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
