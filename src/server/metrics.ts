/**
 * A site's metrics, in a registry of their own. Labels take values from short, fixed lists only
 * (operations, statuses, remotes): never a bucket, a key or a caller, so the number of series has a
 * bound whatever clients do.
 */
import { Counter, Gauge, Registry } from 'prom-client'
import type { RemoteStatus } from '../admin/protocol.ts'
import type { ConflictTotals } from '../store/object-store.ts'
import { addProcessMetrics } from './process-metrics.ts'
import { type RequestObservation, RequestTally } from './request-tally.ts'

export interface SiteFigures {
  readonly buckets: number
  readonly objects: number
  readonly objectBytes: number
  readonly volumeCapacityBytes: number
  readonly volumeUsedBytes: number
  readonly volumeWritable: boolean
  readonly bytesInFlight: number
  readonly remotes: readonly RemoteStatus[]
  readonly conflicts: ConflictTotals & { readonly open: number }
  /** Put off since the start, for the difference of clocks. */
  readonly skewedChanges: number
}

export class SiteMetrics {
  readonly #registry = new Registry()
  readonly #requests = new RequestTally()
  readonly #figures: () => Promise<SiteFigures>
  readonly #publish: (figures: SiteFigures) => void

  constructor(figures: () => Promise<SiteFigures>) {
    this.#figures = figures
    const publishSite = addSiteMetrics(this.#registry)
    const publishRemotes = addRemoteMetrics(this.#registry)
    const publishConflicts = addConflictMetrics(this.#registry)
    this.#publish = (current) => {
      publishSite(current)
      publishRemotes(current.remotes)
      publishConflicts(current)
    }
    addProcessMetrics(this.#registry)
  }

  /** Counts one answered request. */
  observe(observation: RequestObservation): void {
    this.#requests.add(observation)
  }

  /** The Prometheus text of this moment. */
  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#publish(await this.#figures())
    const figures = await this.#registry.metrics()
    return {
      contentType: this.#registry.contentType,
      text: `${this.#requests.text()}\n${figures}`,
    }
  }
}

function addSiteMetrics(registry: Registry): (figures: SiteFigures) => void {
  const gauge = (name: string, help: string): Gauge =>
    new Gauge({ name, help, registers: [registry] })
  const buckets = gauge('comio_store_buckets', 'Buckets that exist.')
  const objects = gauge('comio_store_objects', 'Live objects in all buckets.')
  const bytes = gauge('comio_store_object_bytes', 'Bytes of all live objects.')
  const capacity = gauge('comio_volume_capacity_bytes', 'What the volume may take.')
  const used = gauge('comio_volume_used_bytes', 'What the segments of the volume occupy.')
  const writable = gauge('comio_volume_writable', '1 while writes are accepted, else 0.')
  const inFlight = gauge('comio_http_body_bytes_in_flight', 'Body bytes held in memory now.')
  return (figures) => {
    buckets.set(figures.buckets)
    objects.set(figures.objects)
    bytes.set(figures.objectBytes)
    capacity.set(figures.volumeCapacityBytes)
    used.set(figures.volumeUsedBytes)
    writable.set(figures.volumeWritable ? 1 : 0)
    inFlight.set(figures.bytesInFlight)
  }
}

function addConflictMetrics(registry: Registry): (figures: SiteFigures) => void {
  const registers = [registry]
  const total = (name: string, help: string): Counter => new Counter({ name, help, registers })
  const noticed = total(
    'comio_replication_conflicts_total',
    'Writes that lost to one that had not seen them, as noticed here.',
  )
  const kept = total('comio_replication_conflicts_kept_total', 'Those whose object is kept.')
  const dropped = total(
    'comio_replication_conflicts_dropped_total',
    'Those that left the list unresolved, to make room.',
  )
  const open = new Gauge({
    name: 'comio_replication_conflicts_open',
    help: 'Conflicts on the list that nobody has resolved.',
    registers,
  })
  const skewed = total(
    'comio_replication_clock_skew_total',
    'Changes put off because their stamps were too far ahead of this clock.',
  )
  return ({ conflicts: totals, skewedChanges }) => {
    for (const counter of [noticed, kept, dropped, skewed]) counter.reset()
    skewed.inc(skewedChanges)
    noticed.inc(totals.noticed)
    kept.inc(totals.kept)
    dropped.inc(totals.dropped)
    open.set(totals.open)
  }
}

/** Totals of the ledgers: they are kept in the volume, so here they are set, not counted up. */
function addRemoteMetrics(registry: Registry): (remotes: readonly RemoteStatus[]) => void {
  const registers = [registry]
  const labelNames = ['remote'] as const
  const total = (name: string, help: string, value: (remote: RemoteStatus) => number) => {
    const counter = new Counter({ name, help, labelNames, registers })
    return (remotes: readonly RemoteStatus[]): void => {
      counter.reset()
      for (const remote of remotes) counter.inc({ remote: remote.name }, value(remote))
    }
  }
  const gauge = (name: string, help: string, value: (remote: RemoteStatus) => number) => {
    const series = new Gauge({ name, help, labelNames, registers })
    return (remotes: readonly RemoteStatus[]): void => {
      series.reset()
      for (const remote of remotes) series.set({ remote: remote.name }, value(remote))
    }
  }
  const publishers = [
    total('comio_replication_queued_total', 'Changes queued.', (r) => r.events_queued),
    total(
      'comio_replication_replicated_total',
      'Changes acknowledged.',
      (r) => r.events_replicated,
    ),
    total('comio_replication_failed_total', 'Changes given up.', (r) => r.events_failed),
    total(
      'comio_replication_superseded_total',
      'Changes that a newer one replaced before they were sent.',
      (r) => r.events_superseded,
    ),
    total(
      'comio_replication_remote_conflicts_total',
      'Changes that met a write this site had not seen.',
      (r) => r.remote_conflicts,
    ),
    total('comio_replication_wire_bytes_total', 'Bytes sent since the start.', (r) => r.wire_bytes),
    total(
      'comio_replication_saved_bytes_total',
      'Bytes that compression has saved since the start.',
      (r) => r.saved_bytes,
    ),
    gauge('comio_replication_pending', 'Changes not yet acknowledged.', (r) => r.pending_events),
    gauge('comio_replication_pending_bytes', 'Bytes of those.', (r) => r.pending_bytes),
    gauge('comio_replication_in_flight', 'Changes on the wire now.', (r) => r.in_flight),
    gauge(
      'comio_replication_lag_seconds',
      'Age of the oldest change not yet acknowledged, 0 without one.',
      (r) => ageSeconds(r.oldest_pending),
    ),
    gauge(
      'comio_replication_verify_equal',
      '1 when the last comparison proved the remote equal, 0 when it differs, -1 when unknown.',
      (r) => equality(r.verify),
    ),
    gauge(
      'comio_replication_verify_differences',
      'Differences that the last comparison found.',
      (r) => r.verify?.differences ?? 0,
    ),
    gauge(
      'comio_replication_verify_timestamp_seconds',
      'When the last comparison ended, seconds since 1970; 0 before the first.',
      (r) => (r.verify === null ? 0 : Date.parse(r.verify.checked_at) / 1000),
    ),
    gauge('comio_replication_link_up', '1 while the remote answers, else 0.', (r) =>
      r.state === 'unreachable' || r.state === 'refused' || r.state === 'disabled' ? 0 : 1,
    ),
  ]
  return (remotes) => {
    for (const publish of publishers) publish(remotes)
  }
}

function equality(verify: RemoteStatus['verify']): number {
  if (verify === null || verify.verdict === 'unknown') return -1
  return verify.verdict === 'equal' ? 1 : 0
}

function ageSeconds(time: string | null): number {
  return time === null ? 0 : Math.max(0, (Date.now() - Date.parse(time)) / 1000)
}
