/**
 * Counts of answered requests, as numbers that one request merely raises: at ten thousand requests a
 * second, looking labels up in a metrics library costs several times as much as all of this. The
 * Prometheus text is made when somebody asks for it.
 */

/** Upper bounds, seconds. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60] as const

const requestsName = 'comio_http_requests_total'
const durationName = 'comio_http_request_duration_seconds'

export interface RequestObservation {
  /** From a fixed list. */
  readonly operation: string
  readonly status: number
  readonly durationMs: number
}

/** What was counted of one operation, as plain data. */
export interface OperationFigures {
  readonly operation: string
  readonly byStatus: readonly (readonly [status: number, count: number])[]
  /** As {@link bounds} has them, and one more. */
  readonly buckets: readonly number[]
  readonly seconds: number
}

class OperationTally {
  readonly byStatus = new Map<number, number>()
  /** One more than there are bounds: the last has no upper end. */
  readonly buckets = new Float64Array(bounds.length + 1)
  seconds = 0
  count = 0

  add(status: number, seconds: number): void {
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1)
    let bucket = 0
    while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket++
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1
    this.seconds += seconds
    this.count++
  }

  merge({ byStatus, buckets, seconds }: OperationFigures): void {
    for (const [status, count] of byStatus) {
      this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + count)
      this.count += count
    }
    for (const [at, count] of buckets.entries()) this.buckets[at] = (this.buckets[at] ?? 0) + count
    this.seconds += seconds
  }
}

export class RequestTally {
  readonly #operations = new Map<string, OperationTally>()

  add({ operation, status, durationMs }: RequestObservation): void {
    this.#of(operation).add(status, durationMs / 1000)
  }

  /** Takes what another tally has given. */
  merge(figures: readonly OperationFigures[]): void {
    for (const one of figures) this.#of(one.operation).merge(one)
  }

  /** Everything that was counted, for another tally to merge: this one begins anew. */
  take(): readonly OperationFigures[] {
    const figures = [...this.#operations].map(([operation, { byStatus, buckets, seconds }]) => ({
      ...{ operation, seconds },
      byStatus: [...byStatus],
      buckets: [...buckets],
    }))
    this.#operations.clear()
    return figures
  }

  #of(operation: string): OperationTally {
    const known = this.#operations.get(operation)
    if (known !== undefined) return known
    const tally = new OperationTally()
    this.#operations.set(operation, tally)
    return tally
  }

  /** A counter by operation and status, and a histogram by operation. */
  text(): string {
    const requests = [
      `# HELP ${requestsName} Requests answered, by operation and HTTP status.`,
      `# TYPE ${requestsName} counter`,
    ]
    const durations = [
      `# HELP ${durationName} From the request line to the last byte of the answer.`,
      `# TYPE ${durationName} histogram`,
    ]
    for (const [operation, tally] of this.#operations) {
      for (const [status, count] of tally.byStatus) {
        requests.push(`${requestsName}{operation="${operation}",status="${status}"} ${count}`)
      }
      durations.push(...histogramLines(operation, tally))
    }
    return `${[...requests, '', ...durations].join('\n')}\n`
  }
}

function histogramLines(operation: string, tally: OperationTally): readonly string[] {
  const label = `operation="${operation}"`
  let below = 0
  const buckets = [...bounds, '+Inf'].map((bound, bucket) => {
    below += tally.buckets[bucket] ?? 0
    return `${durationName}_bucket{le="${bound}",${label}} ${below}`
  })
  return [
    ...buckets,
    `${durationName}_sum{${label}} ${tally.seconds}`,
    `${durationName}_count{${label}} ${tally.count}`,
  ]
}
