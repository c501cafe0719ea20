/** What the demo tells: the story on stdout, and on a terminal one live line on stderr. */
import type { RemoteStatus } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { formatDuration } from '../base/duration.ts'
import type { Comparison } from './compare-sites.ts'
import { type LagSamples, quantileOf } from './lag-probe.ts'

export interface StoryStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const liveIntervalMs = 100
const plainIntervalMs = 2000
const eraseLine = '\r\u001b[2K'

export class Story {
  readonly #stdout: StoryStream
  readonly #stderr: StoryStream
  readonly #bothOnTerminal: boolean
  #isLive = false
  #shownAt = Number.NEGATIVE_INFINITY

  constructor(stdout: StoryStream, stderr: StoryStream) {
    this.#stdout = stdout
    this.#stderr = stderr
    this.#bothOnTerminal = Boolean(stderr.isTTY)
  }

  tell(line = ''): void {
    this.endLive()
    this.#stdout.write(`${line}\n`)
  }

  /** Replaces the live line; where there is no terminal, adds a line every two seconds. */
  live(line: string): void {
    const now = performance.now()
    const isTTY = this.#bothOnTerminal
    if (now - this.#shownAt < (isTTY ? liveIntervalMs : plainIntervalMs)) return
    this.#shownAt = now
    const width = (this.#stderr.columns ?? 80) - 1
    this.#stderr.write(isTTY ? `${eraseLine}${line.slice(0, width)}` : `${line}\n`)
    this.#isLive = isTTY
  }

  endLive(): void {
    if (this.#isLive) this.#stderr.write(eraseLine)
    this.#isLive = false
    this.#shownAt = Number.NEGATIVE_INFINITY
  }
}

/** `B is 12 changes (3.0 MiB) behind · lag p50 3 ms, p99 20 ms`. */
export function describeLag(remote: RemoteStatus | undefined): string {
  if (remote === undefined) return 'asking A about B'
  const { lag_p50_ms: p50, lag_p99_ms: p99, pending_events: count } = remote
  const size = formatByteSize(remote.pending_bytes)
  const behind = count === 0 ? 'B has everything' : `B is ${changes(count)} (${size}) behind`
  const away = remote.state === 'unreachable' ? ', not answering' : ''
  if (p50 === null || p99 === null) return `${behind}${away}`
  return `${behind}${away} · lag p50 ${formatDuration(p50)}, p99 ${formatDuration(p99)}`
}

export function changes(count: number): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? 'change' : 'changes'}`
}

/** The measured latencies beside the original's estimates, as lines of at most 80 columns. */
export function lagTable(classes: readonly LagSamples[]): readonly string[] {
  const row = (...cells: readonly string[]): string =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(12) : cell.padStart(12))).join('')}`
  const line = ({ name, samples, estimate, estimateMsMax }: LagSamples): string => {
    const [p50, p99] = [quantileOf(samples, 0.5), quantileOf(samples, 0.99)]
    const verdict = p99 <= estimateMsMax ? '' : '  slower'
    const measured = [formatDuration(p50), formatDuration(p99)]
    return `${row(name, String(samples.length), ...measured, estimate)}${verdict}`
  }
  return [row('size', 'objects', 'p50', 'p99', 'estimated'), ...classes.map(line)]
}

/** The last line, by which people and scripts know how it ended. */
export function verdictLine(
  comparison: Comparison,
  { seconds, lags }: { readonly seconds: number; readonly lags: readonly LagSamples[] },
): string {
  const sorted = lags.flatMap(({ samples }) => samples).toSorted((a, b) => a - b)
  const p50 = formatDuration(quantileOf(sorted, 0.5))
  const p99 = formatDuration(quantileOf(sorted, 0.99))
  const { objects, bytes, differences } = comparison
  const word = differences === 0 ? 'equal' : 'different'
  const figures = `${objects} objects, ${bytes} bytes, ${Math.round(seconds)} s`
  return `${word}: ${figures}, lag p50 ${p50} p99 ${p99}, ${differences} differences`
}
