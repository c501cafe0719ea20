/**
 * Scrubbing: reads everything that is stored once in a while, so that rot shows before the last sound
 * copy elsewhere is gone too. One pass at a time, by itself every `intervalMs` or when asked. How far
 * it is, and what the last one found, outlives a restart.
 *
 * It must never know where sound bytes come from: whoever heals an object is passed in.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import {
  type HealObject,
  noScrubCounts,
  type ScrubbedStore,
  type ScrubCounts,
  ScrubPass,
  type ScrubPlace,
} from './scrub-pass.ts'

/** A pass that is under way, or was when the site was stopped. */
export interface ScrubRun extends ScrubCounts {
  /** Wall ms. */
  readonly startedAt: number
  readonly place?: ScrubPlace | undefined
}

export interface ScrubReport extends ScrubCounts {
  /** Wall ms. */
  readonly startedAt: number
  readonly finishedAt: number
  /** Why it is not whole; undefined when everything was read. */
  readonly reason?: string | undefined
}

export interface ScrubMemory {
  /** Wall ms: the interval counts from here until there is a report. */
  readonly since: number
  readonly run?: ScrubRun | undefined
  readonly last?: ScrubReport | undefined
}

export interface ScrubberOptions {
  readonly store: ScrubbedStore
  readonly heal: HealObject
  /** Bytes per second; 0 for no limit. */
  readonly rate: number
  /** 0: only when asked. */
  readonly intervalMs: number
  /** What an earlier process left. */
  readonly memory: ScrubMemory | undefined
  readonly save: (memory: ScrubMemory) => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

const saveEveryMs = 60_000

export class Scrubber {
  readonly #options: ScrubberOptions
  readonly #stop = new AbortController()
  #cancel = new AbortController()
  #memory: ScrubMemory
  #pass: { readonly pass: ScrubPass; readonly startedAt: number } | undefined
  #done: Promise<void> = Promise.resolve()
  #periodic: Promise<void> = Promise.resolve()
  /** Since the start of the process, of whatever pass. */
  #earlier: ScrubCounts = noScrubCounts
  #base: ScrubCounts = noScrubCounts

  constructor(options: ScrubberOptions) {
    this.#options = options
    const since = Math.floor(options.clock.now())
    this.#memory = options.memory ?? { since }
  }

  get running(): ScrubRun | undefined {
    if (this.#pass === undefined) return undefined
    const { pass, startedAt } = this.#pass
    return { ...pass.counts, startedAt, place: pass.place }
  }

  get last(): ScrubReport | undefined {
    return this.#memory.last
  }

  /** Wall ms of the next pass by itself; undefined when there is none. */
  get nextAt(): number | undefined {
    const { intervalMs } = this.#options
    if (intervalMs === 0) return undefined
    return (this.#memory.last?.finishedAt ?? this.#memory.since) + intervalMs
  }

  /** Since the start of the process. */
  get totals(): Omit<ScrubCounts, 'listed'> {
    const now = this.#pass?.pass.counts ?? this.#base
    return sum(this.#earlier, difference(now, this.#base))
  }

  /** Goes on with the pass that an earlier process had begun, and begins the periodic ones. */
  start(): void {
    const { run } = this.#memory
    if (run !== undefined) this.#begin(run)
    else if (this.#options.memory === undefined) void this.#save()
    if (this.#options.intervalMs > 0) this.#periodic = this.#repeat()
  }

  /** False, and nothing begun, while one is running. */
  begin(): boolean {
    if (this.#pass !== undefined || this.#stop.signal.aborted) return false
    const startedAt = Math.floor(this.#options.clock.now())
    this.#begin({ ...noScrubCounts, startedAt, place: undefined })
    return true
  }

  /** Ends the pass for good. Resolves once nothing is running. */
  async cancel(): Promise<void> {
    this.#cancel.abort()
    await this.#done
  }

  /** The pass goes on with the next start. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all([this.#done, this.#periodic])
  }

  #begin(run: ScrubRun): void {
    this.#cancel = new AbortController()
    const { store, heal, rate, clock, logger } = this.#options
    const signal = AbortSignal.any([this.#stop.signal, this.#cancel.signal])
    const from = { counts: countsOf(run), place: run.place }
    const pass = new ScrubPass({ store, heal, rate, clock, logger, signal }, from)
    this.#base = pass.counts
    this.#pass = { pass, startedAt: run.startedAt }
    this.#done = this.#work(pass, run.startedAt)
  }

  async #work(pass: ScrubPass, startedAt: number): Promise<void> {
    const { clock } = this.#options
    const saving = new AbortController()
    const saves = this.#saveNowAndThen(saving.signal)
    let reason: string | undefined
    try {
      const isWhole = await pass.run()
      if (!isWhole) reason = this.#cancel.signal.aborted ? 'it was stopped' : undefined
      if (!isWhole && reason === undefined) return await this.#interrupt()
    } catch (error) {
      rethrowAssertion(error)
      reason = messageOf(error)
    } finally {
      saving.abort()
      await saves
      this.#earlier = sum(this.#earlier, difference(pass.counts, this.#base))
      this.#base = noScrubCounts
    }
    const finishedAt = Math.floor(clock.now())
    const report = { ...pass.counts, startedAt, finishedAt, reason }
    this.#memory = { ...this.#memory, run: undefined, last: report }
    this.#pass = undefined
    this.#log(report)
    await this.#save()
  }

  /** The site is on its way down. */
  async #interrupt(): Promise<void> {
    await this.#save()
    this.#pass = undefined
  }

  #log({ listed, ...report }: ScrubReport): void {
    const { logger } = this.#options
    const left = report.damaged - report.healed - report.gone
    if (left > 0) logger.error({ ...report, left }, 'Scrubbed: some of what is stored is damaged')
    else if (report.reason !== undefined) logger.warn(report, 'Scrubbing ended early')
    else logger.info(report, 'Scrubbed: everything that is stored is sound')
  }

  async #saveNowAndThen(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#save()
      await delay(this.#options.clock, saveEveryMs, signal)
      if (signal.aborted) return
    }
  }

  /** Without it a restart begins the pass anew, which is no harm. */
  async #save(): Promise<void> {
    this.#memory = { ...this.#memory, run: this.running }
    try {
      await this.#options.save(this.#memory)
    } catch (error) {
      rethrowAssertion(error)
      this.#options.logger.warn({ error: messageOf(error) }, 'How far the scrub is was not kept')
    }
  }

  async #repeat(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.#done
      const waitMs = Math.max(0, (this.nextAt ?? 0) - clock.now())
      // A clock that is set must not put it off for years, nor a timer overflow.
      await delay(clock, Math.min(waitMs, 3_600_000), signal)
      if (waitMs <= 3_600_000 && !signal.aborted) this.begin()
    }
  }
}

function countsOf({ objects, bytes, records, damaged, healed, gone, listed }: ScrubCounts) {
  return { objects, bytes, records, damaged, healed, gone, listed }
}

type Totals = Omit<ScrubCounts, 'listed'>

function combine(a: Totals, b: Totals, sign: 1 | -1): ScrubCounts {
  return {
    objects: a.objects + sign * b.objects,
    bytes: a.bytes + sign * b.bytes,
    records: a.records + sign * b.records,
    damaged: a.damaged + sign * b.damaged,
    healed: a.healed + sign * b.healed,
    gone: a.gone + sign * b.gone,
    listed: [],
  }
}

const sum = (a: Totals, b: Totals): ScrubCounts => combine(a, b, 1)
const difference = (a: Totals, b: Totals): ScrubCounts => combine(a, b, -1)
