/**
 * Counts for the metrics, since the process was started: plain numbers that one change merely raises.
 * What must survive a restart is in the ledger.
 */
import type { Mutation } from '../store/model/mutation.ts'

export type ChangeKind = Mutation['kind']

/** How a change ended, or for `later` was put off, at the receiving side. */
export type ChangeResult = 'applied' | 'duplicate' | 'superseded' | 'conflict' | 'refused' | 'later'

const kinds: readonly ChangeKind[] = ['put', 'delete', 'purge', 'bucket']
const results = [
  'applied',
  'duplicate',
  'superseded',
  'conflict',
  'refused',
  'later',
] as const satisfies readonly ChangeResult[]
const resultNames: readonly string[] = results

export interface ResultCount {
  readonly kind: ChangeKind
  readonly result: ChangeResult
  readonly events: number
  readonly bytes: number
}

/** Changes and the bytes of their objects, by kind and result. */
export class ResultTally {
  readonly #counts: readonly {
    kind: ChangeKind
    result: ChangeResult
    events: number
    bytes: number
  }[] = kinds.flatMap((kind) => results.map((result) => ({ kind, result, events: 0, bytes: 0 })))

  /** Counts `result` if it is one that ends a change, or puts it off. */
  add(kind: ChangeKind, result: string, bytes: number): void {
    const column = resultNames.indexOf(result)
    const count = this.#counts[kinds.indexOf(kind) * results.length + column]
    if (column === -1 || count === undefined) return
    count.events++
    count.bytes += bytes
  }

  counts(): readonly ResultCount[] {
    return this.#counts
  }
}

/** How many values were at or below each bound. */
export class BoundedTally {
  readonly bounds: readonly number[]
  /** One more than there are bounds: the last has no upper end. */
  readonly #counts: Float64Array
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  add(value: number): void {
    let at = 0
    while (at < this.bounds.length && value > (this.bounds[at] ?? 0)) at++
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.sum += value
  }

  counts(): Iterable<number> {
    return this.#counts
  }
}

/** What one link has sent. */
export class LinkTally {
  readonly results = new ResultTally()
  readonly batchEvents = new BoundedTally([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000])
  readonly batchSeconds = new BoundedTally([
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60,
  ])
  /** Changes sent again because of a failure, or because the remote wanted them later. */
  retries = 0
}
