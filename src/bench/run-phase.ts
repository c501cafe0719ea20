import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { BenchPhase, BenchProgress, PhaseReport } from './bench-report.ts'
import { Histogram } from './histogram.ts'

/** The object came back, but not as it was stored. */
export class MismatchError extends Error {
  override readonly name = 'MismatchError'
}

export interface PhaseOptions {
  readonly phase: BenchPhase
  /** Which objects it is about, by number. */
  readonly indices: readonly number[]
  readonly concurrency: number
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: BenchProgress) => void) | undefined
  /** Bytes that one operation moves. */
  readonly bytesPerOp: number
  /** Prepares an operation and returns what is to be timed. */
  readonly prepare: (index: number) => () => Promise<void>
}

export interface PhaseResult {
  readonly report: PhaseReport
  readonly succeeded: readonly number[]
  readonly mismatches: number
  readonly failures: readonly string[]
  /** So many requests failed in a row that the rest was not tried. */
  readonly gaveUp: boolean
}

const failuresKept = 5
const failuresInARowMax = 100

/** Runs one kind of request over all objects, `concurrency` at a time. Failures are counted, not thrown. */
export async function runPhase(options: PhaseOptions): Promise<PhaseResult> {
  const run = new PhaseRun(options)
  const count = Math.min(options.concurrency, options.indices.length)
  await Promise.all(Array.from({ length: count }, () => run.work()))
  return run.result()
}

class PhaseRun {
  readonly #options: PhaseOptions
  readonly #histogram = new Histogram()
  readonly #succeeded: number[] = []
  readonly #failures: string[] = []
  readonly #startedAt: number
  #next = 0
  #errors = 0
  #failuresInARow = 0
  #mismatches = 0

  constructor(options: PhaseOptions) {
    this.#options = options
    this.#startedAt = options.clock.monotonic()
  }

  async work(): Promise<void> {
    const { indices, signal } = this.#options
    while (!signal?.aborted && !this.#gaveUp) {
      const index = indices[this.#next++]
      if (index === undefined) return
      await this.#runOne(index)
    }
  }

  result(): PhaseResult {
    const { phase, bytesPerOp } = this.#options
    const ops = this.#succeeded.length
    const seconds = this.#elapsedMs() / 1e3
    const bytes = ops * bytesPerOp
    const report: PhaseReport = {
      phase,
      ops,
      errors: this.#errors,
      seconds: rounded(seconds),
      ops_per_second: rounded(seconds > 0 ? ops / seconds : 0),
      bytes,
      mib_per_second: rounded(seconds > 0 ? bytes / 2 ** 20 / seconds : 0),
      p50_ms: this.#quantile(0.5),
      p90_ms: this.#quantile(0.9),
      p99_ms: this.#quantile(0.99),
      max_ms: this.#histogram.max === undefined ? null : rounded(this.#histogram.max),
    }
    const failures = this.#gaveUp
      ? [...this.#failures, `${phase}: given up after ${failuresInARowMax} failures in a row`]
      : this.#failures
    return {
      report,
      succeeded: this.#succeeded,
      mismatches: this.#mismatches,
      failures,
      gaveUp: this.#gaveUp,
    }
  }

  get #gaveUp(): boolean {
    return this.#failuresInARow >= failuresInARowMax
  }

  async #runOne(index: number): Promise<void> {
    const { clock, prepare, signal } = this.#options
    const operation = prepare(index)
    const startedAt = clock.monotonic()
    try {
      await operation()
    } catch (error) {
      if (!signal?.aborted) this.#countFailure(error)
      return
    }
    this.#histogram.record(clock.monotonic() - startedAt)
    this.#succeeded.push(index)
    this.#failuresInARow = 0
    this.#tellProgress()
  }

  #countFailure(error: unknown): void {
    this.#errors++
    this.#failuresInARow++
    if (error instanceof MismatchError) this.#mismatches++
    if (this.#failures.length < failuresKept) {
      this.#failures.push(`${this.#options.phase}: ${messageOf(error)}`)
    }
    this.#tellProgress()
  }

  #quantile(fraction: number): number | null {
    const value = this.#histogram.quantile(fraction)
    return value === undefined ? null : rounded(value)
  }

  #tellProgress(): void {
    const { phase, indices, bytesPerOp, onProgress } = this.#options
    onProgress?.({
      phase,
      done: this.#succeeded.length + this.#errors,
      total: indices.length,
      bytes: this.#succeeded.length * bytesPerOp,
      errors: this.#errors,
      elapsedMs: this.#elapsedMs(),
    })
  }

  #elapsedMs(): number {
    return this.#options.clock.monotonic() - this.#startedAt
  }
}

/** To microseconds, where the value is milliseconds: what is beyond that nobody has measured. */
function rounded(value: number): number {
  return Math.round(value * 1e3) / 1e3
}
