/** What a bar shows of a run. */
import type { Progress } from '../base/progress-bar.ts'
import type { BenchProgress } from './bench-report.ts'

export function barOf(progress: BenchProgress): Progress {
  const { phase, done, total, bytes, errors, elapsedMs } = progress
  const seconds = elapsedMs / 1e3
  const rate = seconds > 0 ? done / seconds : 0
  const mib = seconds > 0 ? bytes / 2 ** 20 / seconds : 0
  const figures = [
    `${String(done).padStart(String(total).length)}/${total}`,
    `${rate.toFixed(0)} ops/s`,
    ...(bytes > 0 ? [`${mib.toFixed(1)} MiB/s`] : []),
    ...(errors > 0 ? [`${errors} errors`] : []),
  ]
  return { phase, done, total, elapsedMs, figures }
}
