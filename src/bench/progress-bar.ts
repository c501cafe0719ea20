import type { BenchProgress } from './bench-report.ts'

export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const terminalIntervalMs = 100
const lineIntervalMs = 5_000
const eraseLine = '\r\u001b[2K'

/** One line that follows the run on a terminal; elsewhere a line every five seconds and per phase. */
export class ProgressBar {
  readonly #stream: ProgressStream
  #phase: string | undefined
  #shownAtMs = 0
  #lineIsOpen = false

  constructor(stream: ProgressStream) {
    this.#stream = stream
  }

  update(progress: BenchProgress): void {
    const isNew = progress.phase !== this.#phase
    const isEnd = progress.done === progress.total
    const intervalMs = this.#stream.isTTY ? terminalIntervalMs : lineIntervalMs
    if (isNew) this.#shownAtMs = this.#stream.isTTY ? Number.NEGATIVE_INFINITY : 0
    this.#phase = progress.phase
    if (!isEnd && progress.elapsedMs - this.#shownAtMs < intervalMs) return
    this.#shownAtMs = progress.elapsedMs
    const line = formatProgress(progress, this.#stream.columns ?? 80)
    this.#lineIsOpen = Boolean(this.#stream.isTTY)
    this.#stream.write(this.#stream.isTTY ? `${eraseLine}${line}` : `${line}\n`)
  }

  /** Removes the line from the terminal. */
  close(): void {
    if (this.#lineIsOpen) this.#stream.write(eraseLine)
    this.#lineIsOpen = false
  }
}

/** `put    [#####.....]  500/1000  51.2 MiB/s  2 errors`, shorter than `columns`. */
export function formatProgress(progress: BenchProgress, columns: number): string {
  const { phase, done, total, bytes, errors, elapsedMs } = progress
  const seconds = elapsedMs / 1e3
  const rate = seconds > 0 ? done / seconds : 0
  const mib = seconds > 0 ? bytes / 2 ** 20 / seconds : 0
  const figures = [
    `${String(done).padStart(String(total).length)}/${total}`,
    `${rate.toFixed(0)} ops/s`,
    ...(bytes > 0 ? [`${mib.toFixed(1)} MiB/s`] : []),
    ...(errors > 0 ? [`${errors} errors`] : []),
  ].join('  ')
  const width = Math.max(0, Math.min(40, columns - figures.length - 13))
  const filled = total === 0 ? width : Math.floor((width * done) / total)
  const bar = width < 5 ? '' : `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]  `
  return `${phase.padEnd(6)} ${bar}${figures}`.slice(0, Math.max(1, columns - 1))
}
