/** How far something is, on one line. */

export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface Progress {
  readonly phase: string
  readonly done: number
  readonly total: number
  /** Since the phase began. */
  readonly elapsedMs: number
  /** What stands behind the bar. */
  readonly figures: readonly string[]
}

const terminalIntervalMs = 100
const lineIntervalMs = 5_000
const eraseLine = '\r\u001b[2K'

/** One line that follows the work on a terminal; elsewhere a line every five seconds and per phase. */
export class ProgressBar {
  readonly #stream: ProgressStream
  #phase: string | undefined
  #shownAtMs = 0
  #lineIsOpen = false

  constructor(stream: ProgressStream) {
    this.#stream = stream
  }

  update(progress: Progress): void {
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
export function formatProgress(progress: Progress, columns: number): string {
  const { phase, done, total } = progress
  const figures = progress.figures.join('  ')
  const width = Math.max(0, Math.min(40, columns - figures.length - 13))
  const filled = total === 0 ? width : Math.floor((width * Math.min(done, total)) / total)
  const bar = width < 5 ? '' : `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]  `
  return `${phase.padEnd(6)} ${bar}${figures}`.slice(0, Math.max(1, columns - 1))
}
