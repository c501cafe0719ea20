import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { BenchProgress, BenchReport } from './bench-report.ts'

export interface BenchOptions {
  readonly url: string
  readonly token?: string
  readonly files: number
  readonly sizeBytes: number
  readonly concurrency: number
  /** Must be new or empty; by default a bucket `comio-bench-<random>` is made and removed. */
  readonly bucket?: string
  readonly onProgress?: (progress: BenchProgress) => void
  readonly clock?: Clock
  readonly random?: Random
  readonly signal?: AbortSignal
}

export async function runBench(options: BenchOptions): Promise<BenchReport> {
  throw new Error(`not yet: ${options.url}`)
}
