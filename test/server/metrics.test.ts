import { register } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { type SiteFigures, SiteMetrics } from '../../src/server/metrics.ts'
import { parseMetrics } from './parse-metrics.ts'
import { remoteStatus } from './remote-status.ts'

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
  remotes: [
    remoteStatus({ name: 'default', events_queued: 9, events_replicated: 7, pending_events: 2 }),
  ],
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

  it('show the store, the volume and each remote as they are at each look', async () => {
    let current = figures
    const metrics = new SiteMetrics(async () => current)
    await metrics.text()
    current = { ...figures, objects: 11, volumeWritable: false }
    const samples = parseMetrics((await metrics.text()).text)
    expect(samples.get('comio_store_objects')).toBe(11)
    expect(samples.get('comio_store_object_bytes')).toBe(12_345)
    expect(samples.get('comio_volume_writable')).toBe(0)
    expect(samples.get('comio_replication_queued_total{remote="default"}')).toBe(9)
    expect(samples.get('comio_replication_replicated_total{remote="default"}')).toBe(7)
    expect(samples.get('comio_replication_pending{remote="default"}')).toBe(2)
    expect(samples.get('comio_replication_lag_seconds{remote="default"}')).toBe(0)
    expect(samples.get('comio_replication_link_up{remote="default"}')).toBe(1)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
  })

  it('of two sites in one process do not mix, and the default registry stays empty', async () => {
    const one = new SiteMetrics(async () => figures)
    const other = new SiteMetrics(async () => figures)
    one.observe({ operation: 'PutObject', status: 200, durationMs: 1 })
    expect((await other.text()).text).not.toContain('PutObject')
    expect(register.getMetricsAsArray()).toEqual([])
  })
})
