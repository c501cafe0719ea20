/**
 * The main file of comparisons: two sites, of which either goes on being written, are proven equal or
 * told apart.
 *
 * Promises: `equal` rests on hashes of content and holds up to a place and a time; what is on its way is
 * no difference; who cannot be asked is `unknown`; what is exchanged grows with the differences and not
 * with what is stored. One comparison runs at a time: on demand, and by itself every `intervalMs` when
 * that is set. The running one's progress and the last result of each remote are kept.
 *
 * It must never know HTTP, commands or configuration, nor judge by times, sizes or ETags; it changes
 * nothing but by the ways in which all changes come in and go out (`repair.ts`).
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import {
  Verification,
  type VerificationOptions,
  type VerifyOrder,
  type VerifyProgress,
  type VerifyReport,
} from './verification.ts'

export interface VerifiedRemote {
  readonly name: string
  readonly options: Omit<VerificationOptions, 'patienceMs'>
}

export interface VerifierOptions {
  /** Asked whenever a comparison begins. */
  readonly remotes: () => readonly VerifiedRemote[]
  readonly clock: Clock
  readonly logger: Logger
  /** How often all remotes are compared unasked; 0 for never. */
  readonly intervalMs: number
  readonly patienceMs?: number
}

export interface VerifyRun {
  /** Rises with each run since the site was started. */
  readonly id: number
  readonly order: VerifyOrder
  /** Of the remotes of this run, in order; those that are done. */
  readonly results: readonly VerifyResult[]
  /** What is being compared now; undefined when the run is over. */
  readonly running: { readonly remote: string; readonly progress: VerifyProgress } | undefined
}

export interface VerifyResult {
  readonly remote: string
  readonly report: VerifyReport
}

export class Verifier {
  readonly #options: VerifierOptions
  readonly #stop = new AbortController()
  readonly #last = new Map<string, VerifyReport>()
  #cancel = new AbortController()
  #run: VerifyRun | undefined
  #done: Promise<void> = Promise.resolve()
  #periodic: Promise<void> = Promise.resolve()

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /** The run that is on, or the last one; undefined before the first. */
  get run(): VerifyRun | undefined {
    return this.#run
  }

  /**
   * The last result that is about all that the remote gets. One bucket alone proves nothing about the
   * rest, but that it differs.
   */
  lastOf(remote: string): VerifyReport | undefined {
    return this.#last.get(remote)
  }

  /** Begins the periodic runs, if there are to be any. */
  start(): void {
    if (this.#options.intervalMs > 0) this.#periodic = this.#repeat()
  }

  /** Undefined, and nothing begun, while another one is running. */
  begin(order: VerifyOrder, remotes: readonly VerifiedRemote[]): VerifyRun | undefined {
    if (this.#run?.running !== undefined) return undefined
    this.#cancel = new AbortController()
    const signal = AbortSignal.any([this.#stop.signal, this.#cancel.signal])
    const runs = remotes.map(({ name, options }) => ({
      name,
      verification: new Verification(this.#withPatience(options), order, signal),
    }))
    const id = (this.#run?.id ?? 0) + 1
    const [first] = runs
    const running =
      first === undefined
        ? undefined
        : { remote: first.name, progress: first.verification.progress }
    this.#run = { id, order, results: [], running }
    this.#done = this.#work(this.#run, runs)
    return this.#run
  }

  /** Ends the running comparison: what it has not compared by then stays unknown. */
  async cancel(): Promise<void> {
    this.#cancel.abort(new Error('the comparison was stopped'))
    await this.#done
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('the site is shutting down'))
    await Promise.all([this.#done, this.#periodic])
  }

  async #work(
    run: VerifyRun,
    runs: readonly { readonly name: string; readonly verification: Verification }[],
  ): Promise<void> {
    const results: VerifyResult[] = []
    for (const { name, verification } of runs) {
      this.#run = {
        ...run,
        results: [...results],
        running: { remote: name, progress: verification.progress },
      }
      const report = await verification.run()
      results.push({ remote: name, report })
      const isAboutAll = run.order.bucket === undefined || report.verdict === 'different'
      if (isAboutAll) this.#last.set(name, report)
      this.#log(name, report)
    }
    this.#run = { ...run, results, running: undefined }
  }

  #log(remote: string, report: VerifyReport): void {
    const { verdict, reason, upTo, differences, waiting, repaired, compared } = report
    const fields = { remote, verdict, reason, upTo, differences, waiting, repaired, compared }
    if (verdict === 'equal') this.#options.logger.info(fields, 'The remote holds the same')
    else if (verdict === 'unknown') {
      this.#options.logger.warn(fields, 'Whether the remote holds the same is not known')
    } else this.#options.logger.error(fields, 'The remote does not hold the same')
  }

  async #repeat(): Promise<void> {
    const { clock, intervalMs, remotes, logger } = this.#options
    const { signal } = this.#stop
    for (;;) {
      await delay(clock, intervalMs, signal)
      if (signal.aborted) return
      // Somebody asked for one just now: that is as good.
      if (this.#run?.running !== undefined) continue
      try {
        this.begin({ bucket: undefined, deep: false, repair: false }, remotes())
        await this.#done
      } catch (error) {
        rethrowAssertion(error)
        logger.error({ error: messageOf(error) }, 'The periodic comparison failed')
      }
    }
  }

  #withPatience(options: VerifiedRemote['options']): VerificationOptions {
    const { patienceMs } = this.#options
    return patienceMs === undefined ? options : { ...options, patienceMs }
  }
}
