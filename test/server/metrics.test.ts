import { register } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { ReadsTally } from '../../src/replication/reads/reads-tally.ts'
import { LinkTally, ResultTally } from '../../src/replication/tally.ts'
import { type SiteFigures, SiteMetrics } from '../../src/server/metrics/metrics.ts'
import { parseMetrics } from './parse-metrics.ts'
import { remoteStatus } from './remote-status.ts'

const scrubbed = {
  ...{ objects: 7, bytes: 700, records: 3, damaged: 4, healed: 2, gone: 1 },
  listed: [],
}

const figures: SiteFigures = {
  buckets: 2,
  objects: 10,
  objectBytes: 12_345,
  volumeCapacityBytes: 1_000_000,
  volumeUsedBytes: 65_536,
  volumeWritable: true,
  skewedChanges: 4,
  conflicts: { noticed: 3, kept: 2, dropped: 1, open: 2 },
  bytesInFlight: 42,
  threadsWithoutIndex: 0,
  role: 'primary',
  sync: null,
  remotes: [
    remoteStatus({ name: 'default', events_queued: 9, events_replicated: 7, pending_events: 2 }),
    remoteStatus({ name: 'other', state: 'full', dead_letters: 3, lag_p50_ms: 12, lag_p99_ms: 80 }),
  ],
  replication: { links: [], received: new ResultTally() },
  reads: new ReadsTally(),
  scrub: {
    running: undefined,
    last: { ...scrubbed, startedAt: 1000, finishedAt: 2500 },
    totals: scrubbed,
  },
  space: {
    writtenBytes: 300,
    movedBytes: 100,
    movedRecords: 7,
    cleanedSegments: 2,
    freedSegments: 3,
  },
}

describe('metrics', () => {
  it('count requests by operation and status, and time them by operation', async () => {
    const metrics = new SiteMetrics(async () => figures)
    for (const status of [200, 200, 404]) {
      metrics.observe({ operation: 'GetObject', status, durationMs: 4 })
    }
    const samples = parseMetrics((await metrics.text()).text)
    expect(samples.get('comio_http_requests_total{operation="GetObject",status="200"}')).toBe(2)
    expect(samples.get('comio_http_requests_total{operation="GetObject",status="404"}')).toBe(1)
    const duration = 'comio_http_request_duration_seconds'
    expect(samples.get(`${duration}_count{operation="GetObject"}`)).toBe(3)
    expect(samples.get(`${duration}_sum{operation="GetObject"}`)).toBeCloseTo(0.012)
    expect(samples.get(`${duration}_bucket{le="0.0025",operation="GetObject"}`)).toBe(0)
    expect(samples.get(`${duration}_bucket{le="0.005",operation="GetObject"}`)).toBe(3)
  })

  it('show what scrubs read, and what the last one left damaged', async () => {
    const samples = parseMetrics((await new SiteMetrics(async () => figures).text()).text)
    expect(samples.get('comio_scrub_objects_total')).toBe(7)
    expect(samples.get('comio_scrub_damaged_total')).toBe(4)
    expect(samples.get('comio_scrub_last_damaged')).toBe(1)
    expect(samples.get('comio_scrub_last_finished_timestamp_seconds')).toBe(2.5)
    expect(samples.get('comio_scrub_running')).toBe(0)
  })

  it('show the store, the volume and each remote as they are at each look', async () => {
    let current = figures
    const metrics = new SiteMetrics(async () => current)
    await metrics.text()
    current = { ...figures, objects: 11, volumeWritable: false }
    const samples = parseMetrics((await metrics.text()).text)
    expect(samples.get('comio_store_objects')).toBe(11)
    expect(samples.get('comio_store_object_bytes')).toBe(12_345)
    expect(samples.get('comio_volume_writable')).toBe(0)
    expect(samples.get('comio_volume_write_amplification')).toBe(1.5)
    expect(samples.get('comio_reclaim_moved_bytes_total')).toBe(100)
    expect(samples.get('comio_replication_queued_total{remote="default"}')).toBe(9)
    expect(samples.get('comio_replication_replicated_total{remote="default"}')).toBe(7)
    expect(samples.get('comio_replication_pending{remote="default"}')).toBe(2)
    expect(samples.get('comio_replication_lag_seconds{remote="default"}')).toBe(0)
    expect(samples.get('comio_replication_link_up{remote="default"}')).toBe(1)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
  })

  it('show what each link does, and what became of what it sent', async () => {
    const tally = new LinkTally()
    const received = new ResultTally()
    for (const result of ['applied', 'applied', 'duplicate', 'pulling', 'again']) {
      tally.results.add('put', result, 10)
      received.add('delete', result, 0)
    }
    for (const events of [1, 7, 100, 20_000]) tally.batchEvents.add(events)
    tally.retries = 5
    const traffic = { sentBytes: 300, receivedBytes: 200 }
    const replication = { links: [{ name: 'other', tally, traffic }], received }
    const metrics = new SiteMetrics(async () => ({ ...figures, replication }))
    const samples = parseMetrics((await metrics.text()).text)
    const of = (name: string) => samples.get(`comio_replication_${name}`)
    expect(of('events_total{kind="put",remote="other",result="applied"}')).toBe(2)
    expect(of('events_total{kind="put",remote="other",result="duplicate"}')).toBe(1)
    expect(of('events_total{kind="purge",remote="other",result="later"}')).toBe(0)
    expect(of('event_bytes_total{kind="put",remote="other",result="applied"}')).toBe(20)
    expect(of('received_events_total{kind="delete",result="applied"}')).toBe(2)
    expect(of('batch_events_bucket{le="10",remote="other"}')).toBe(2)
    expect(of('batch_events_bucket{le="+Inf",remote="other"}')).toBe(4)
    expect(of('batch_events_sum{remote="other"}')).toBe(20_108)
    expect(of('retries_total{remote="other"}')).toBe(5)
    expect(of('wire_bytes_total{direction="sent",remote="other"}')).toBe(300)
    expect(of('link_state{remote="other",state="full"}')).toBe(1)
    expect(of('link_state{remote="other",state="idle"}')).toBe(0)
    expect(of('link_up{remote="other"}')).toBe(0)
    expect(of('dead_letters{remote="other"}')).toBe(3)
    expect(of('lag_quantile_seconds{quantile="0.99",remote="other"}')).toBeCloseTo(0.08)
    expect(of('lag_quantile_seconds{quantile="0.99",remote="default"}')).toBeUndefined()
    expect(of('stalled_seconds{remote="default"}')).toBe(0)
  })

  it('of two sites in one process do not mix, and the default registry stays empty', async () => {
    const one = new SiteMetrics(async () => figures)
    const other = new SiteMetrics(async () => figures)
    one.observe({ operation: 'PutObject', status: 200, durationMs: 1 })
    expect((await other.text()).text).not.toContain('PutObject')
    expect(register.getMetricsAsArray()).toEqual([])
  })
})
