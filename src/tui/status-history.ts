import type { RemoteStatus, ReplicationStatusDocument } from '../admin/protocol.ts'

export interface LinkRates {
  /** Changes queued for the remote per second. */
  readonly inPerSecond: number
  /** Changes done with per second. */
  readonly outPerSecond: number
}

interface Sample {
  readonly atMs: number
  readonly remotes: ReadonlyMap<string, RemoteStatus>
}

const historyMs = 60_000
const rateWindowMs = 10_000
const samplesMax = 600

/** The last minute of a site's figures: what trends are computed from. */
export class StatusHistory {
  readonly #samples: Sample[] = []

  /** @param atMs monotonic milliseconds */
  add(document: ReplicationStatusDocument, atMs: number): void {
    const remotes = new Map(document.remotes.map((remote) => [remote.name, remote]))
    this.#samples.push({ atMs, remotes })
    while (this.#isTooOld(this.#samples[0], atMs)) this.#samples.shift()
  }

  /** Over the last ten seconds; undefined before there are two samples to compare. */
  rates(name: string): LinkRates | undefined {
    const newest = this.#samples.at(-1)
    const oldest = this.#samples.find(
      ({ atMs, remotes }) => newest && newest.atMs - atMs <= rateWindowMs && remotes.has(name),
    )
    const now = newest?.remotes.get(name)
    const then = oldest?.remotes.get(name)
    if (!newest || !oldest || !now || !then || newest.atMs === oldest.atMs) return undefined
    const seconds = (newest.atMs - oldest.atMs) / 1e3
    // A volume that was made anew counts from zero again: that is no rate.
    const queued = Math.max(0, now.events_queued - then.events_queued)
    const done = Math.max(0, doneOf(now) - doneOf(then))
    return { inPerSecond: queued / seconds, outPerSecond: done / seconds }
  }

  /** The backlog's course over the last minute, in `columns` steps; undefined where nothing is known. */
  backlog(name: string, columns: number): readonly (number | undefined)[] {
    const course: (number | undefined)[] = Array.from({ length: columns }, () => undefined)
    const newestMs = this.#samples.at(-1)?.atMs ?? 0
    for (const { atMs, remotes } of this.#samples) {
      const pending = remotes.get(name)?.pending_events
      if (pending === undefined) continue
      const age = Math.floor(((newestMs - atMs) / historyMs) * columns)
      const column = Math.max(0, columns - 1 - age)
      course[column] = Math.max(course[column] ?? 0, pending)
    }
    return course
  }

  #isTooOld(sample: Sample | undefined, nowMs: number): boolean {
    if (sample === undefined) return false
    return this.#samples.length > samplesMax || nowMs - sample.atMs > historyMs
  }
}

function doneOf(remote: RemoteStatus): number {
  return remote.events_replicated + remote.events_failed + remote.events_superseded
}
