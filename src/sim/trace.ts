/** What happened in a run: the last lines for people, a hash of all of them to compare runs. */
import { checksum } from '../base/checksum.ts'
import type { LogFields, Logger } from '../base/log.ts'
import { segmentCleaned } from '../store/space/cleaner.ts'
import type { EventQueue } from './event-queue.ts'

const linesMax = 10_000

export class Trace {
  readonly #queue: EventQueue
  readonly #lines: string[] = []
  readonly #counts = new Map<string, number>()
  #hash = 0

  constructor(queue: EventQueue) {
    this.#queue = queue
  }

  /** Equal for runs in which the same happened at the same times. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** How often each kind of thing has happened, by the first word of its lines. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  /** @param what the kind of thing, one word */
  add(what: string, detail: string): void {
    const line = `${this.#queue.time.toFixed(3)} ${what} ${detail}`
    this.#hash = checksum(Buffer.from(line), this.#hash)
    this.count(what)
    this.#lines.push(line)
    if (this.#lines.length > 2 * linesMax) this.#lines.splice(0, linesMax)
  }

  /** Notes that something happened that is worth no line. */
  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  last(count: number): readonly string[] {
    return this.#lines.slice(-Math.min(count, linesMax))
  }

  /** A logger whose warnings and errors become lines. */
  logger(site: string): Logger {
    const write = (level: string) => (fields: LogFields, message: string) =>
      this.add(level, `${site} ${message} ${textOf(fields)}`)
    const logger: Logger = {
      debug: ({ stream }, message) => {
        if (message === segmentCleaned) this.count(`cleaned-${stream}`)
      },
      info: () => undefined,
      warn: write('warn'),
      error: write('error'),
      child: () => logger,
    }
    return logger
  }
}

function textOf(fields: LogFields): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? value.message : String(value)}`)
    .join(' ')
}
