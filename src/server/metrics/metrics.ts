/**
 * A site's metrics, in a registry of their own. Labels take values from short, fixed lists only
 * (operations, statuses, remotes): never a bucket, a key or a caller, so the number of series has a
 * bound whatever clients do.
 */
import { Counter, Gauge, Registry } from 'prom-client'
import type { RemoteStatus, RoleStatus, SyncStatus } from '../../admin/protocol.ts'
import type { ReadsTally } from '../../replication/reads/reads-tally.ts'
import type { ReplicationFigures } from '../../replication/replicator.ts'
import type { ConflictTotals } from '../../store/model/object-store.ts'
import { addProcessMetrics } from './process-metrics.ts'
import { addReadMetrics } from './read-metrics.ts'
import { addReclaimMetrics, type SpaceFigures } from './reclaim-metrics.ts'
import { addRemoteMetrics } from './remote-metrics.ts'
import { replicationText } from './replication-metrics.ts'
import { type OperationFigures, type RequestObservation, RequestTally } from './request-tally.ts'
import { addScrubMetrics, type ScrubFigures } from './scrub-metrics.ts'

export interface SiteFigures {
  readonly buckets: number
  readonly objects: number
  readonly objectBytes: number
  readonly volumeCapacityBytes: number
  readonly volumeUsedBytes: number
  readonly volumeWritable: boolean
  readonly bytesInFlight: number
  readonly threadsWithoutIndex: number
  readonly role: RoleStatus['role']
  /** Null in mode async. */
  readonly sync: SyncStatus | null
  readonly remotes: readonly RemoteStatus[]
  readonly conflicts: ConflictTotals & { readonly open: number }
  /** Put off since the start, for the difference of clocks. */
  readonly skewedChanges: number
  readonly replication: ReplicationFigures
  readonly reads: ReadsTally
  readonly scrub: ScrubFigures
  readonly space: SpaceFigures
}

export class SiteMetrics {
  readonly #registry = new Registry()
  readonly #requests = new RequestTally()
  readonly #figures: () => Promise<SiteFigures>
  readonly #count: () => Promise<void>
  readonly #publish: (figures: SiteFigures) => void

  /** @param count resolves when what other threads have counted was merged */
  constructor(
    figures: () => Promise<SiteFigures>,
    count: () => Promise<void> = async () => undefined,
  ) {
    this.#figures = figures
    this.#count = count
    const publishSite = addSiteMetrics(this.#registry)
    const publishRemotes = addRemoteMetrics(this.#registry)
    const publishSync = addSyncMetrics(this.#registry)
    const publishConflicts = addConflictMetrics(this.#registry)
    const publishReads = addReadMetrics(this.#registry)
    const publishScrub = addScrubMetrics(this.#registry)
    const publishSpace = addReclaimMetrics(this.#registry)
    this.#publish = (current) => {
      publishSite(current)
      publishRemotes(current.remotes)
      publishConflicts(current)
      publishReads(current.reads)
      publishScrub(current.scrub)
      publishSpace(current.space)
      if (current.sync !== null) publishSync(current.sync)
    }
    addProcessMetrics(this.#registry)
  }

  /** Takes what another thread has counted. */
  merge(figures: readonly OperationFigures[]): void {
    this.#requests.merge(figures)
  }

  /** Counts one answered request. */
  observe(observation: RequestObservation): void {
    this.#requests.add(observation)
  }

  /** The Prometheus text of this moment. */
  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    await this.#count()
    const current = await this.#figures()
    this.#publish(current)
    const figures = await this.#registry.metrics()
    return {
      contentType: this.#registry.contentType,
      text: `${this.#requests.text()}\n${replicationText(current.replication)}\n${figures}`,
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
  const primary = gauge('comio_site_primary', '1 while clients may write here, 0 at a replica.')
  const inFlight = gauge('comio_http_body_bytes_in_flight', 'Body bytes held in memory now.')
  const withoutIndex = gauge(
    'comio_http_threads_without_index',
    'HTTP threads that cannot read the index, and pass on all requests.',
  )
  return (figures) => {
    buckets.set(figures.buckets)
    objects.set(figures.objects)
    bytes.set(figures.objectBytes)
    capacity.set(figures.volumeCapacityBytes)
    used.set(figures.volumeUsedBytes)
    writable.set(figures.volumeWritable ? 1 : 0)
    primary.set(figures.role === 'primary' ? 1 : 0)
    inFlight.set(figures.bytesInFlight)
    withoutIndex.set(figures.threadsWithoutIndex)
  }
}

/** Stay 0 in mode async. */
function addSyncMetrics(registry: Registry): (sync: SyncStatus) => void {
  const registers = [registry]
  const total = (name: string, help: string): ((value: number) => void) => {
    const counter = new Counter({ name, help, registers })
    return (value) => {
      counter.reset()
      counter.inc(value)
    }
  }
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers })
  const waiting = gauge('comio_replication_sync_waiting', 'Answers that wait for a remote now.')
  const degraded = gauge(
    'comio_replication_sync_degraded',
    '1 while a remote lacks a write that it did not confirm in time, else 0.',
  )
  const confirmed = total('comio_replication_sync_confirmed_total', 'Writes confirmed in time.')
  const timedOut = total(
    'comio_replication_sync_timed_out_total',
    'Writes not confirmed in time and answered with an error.',
  )
  const fallbacks = total(
    'comio_replication_sync_fallbacks_total',
    'Writes not confirmed in time and answered all the same.',
  )
  return (sync) => {
    waiting.set(sync.waiting)
    degraded.set(sync.degraded_since === null ? 0 : 1)
    confirmed(sync.confirmed)
    timedOut(sync.timed_out)
    fallbacks(sync.fallbacks)
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
