/** What `comio bench` measured. Plain data with the names that `--json` prints. */

export type BenchPhase = 'put' | 'get' | 'delete'

export interface PhaseReport {
  readonly phase: BenchPhase
  /** Requests that were answered as they should be. */
  readonly ops: number
  /** Requests that failed, and answers that were not what had been stored. */
  readonly errors: number
  readonly seconds: number
  readonly ops_per_second: number
  /** Object bytes moved by the requests that went well; 0 for deletes. */
  readonly bytes: number
  readonly mib_per_second: number
  /** Milliseconds from the request to the last byte of its answer; null when no request went well. */
  readonly p50_ms: number | null
  readonly p90_ms: number | null
  readonly p99_ms: number | null
  readonly max_ms: number | null
}

export interface BenchReport {
  /** Every request was answered, every object came back as it was stored, and nothing is left behind. */
  readonly ok: boolean
  readonly url: string
  readonly bucket: string
  readonly files: number
  readonly size_bytes: number
  readonly concurrency: number
  readonly phases: readonly PhaseReport[]
  /** Objects that came back with other bytes than were stored. */
  readonly mismatches: number
  /** True when the run was stopped by its signal. */
  readonly interrupted: boolean
  /** The first few failures, in words. */
  readonly failures: readonly string[]
}

export interface BenchProgress {
  readonly phase: BenchPhase
  readonly done: number
  readonly total: number
  readonly bytes: number
  readonly errors: number
  /** Since the phase began. */
  readonly elapsedMs: number
}
