/** Metrics of each remote from its status, set anew at each look: the totals are kept in the volume. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { LinkState, RemoteStatus } from '../../admin/protocol.ts'

type Publisher = (remotes: readonly RemoteStatus[]) => void

/** One series for each, 1 for the state that it is in. */
const states: Readonly<Record<LinkState, true>> = {
  disabled: true,
  connecting: true,
  'catching-up': true,
  idle: true,
  streaming: true,
  unreachable: true,
  refused: true,
  full: true,
  failing: true,
  paused: true,
}

/** States in which the remote takes nothing. */
const downStates: ReadonlySet<LinkState> = new Set([
  'unreachable',
  'refused',
  'full',
  'paused',
  'disabled',
])

export function addRemoteMetrics(registry: Registry): Publisher {
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
  const name = (rest: string): string => `comio_replication_${rest}`
  const publishers: readonly Publisher[] = [
    total(name('queued_total'), 'Changes queued.', (r) => r.events_queued),
    total(name('replicated_total'), 'Changes acknowledged.', (r) => r.events_replicated),
    total(name('failed_total'), 'Changes given up.', (r) => r.events_failed),
    total(
      name('superseded_total'),
      'Changes that a newer one replaced before they were sent.',
      (r) => r.events_superseded,
    ),
    total(
      name('remote_superseded_total'),
      'Changes that met something newer at the remote.',
      (r) => r.remote_superseded,
    ),
    total(
      name('remote_conflicts_total'),
      'Changes that met a write this site had not seen.',
      (r) => r.remote_conflicts,
    ),
    gauge(name('pending'), 'Changes not yet acknowledged.', (r) => r.pending_events),
    gauge(name('pending_bytes'), 'Bytes of those.', (r) => r.pending_bytes),
    gauge(name('replaying'), 'Changes that a replay has still to queue.', (r) => r.replaying),
    gauge(name('in_flight'), 'Changes on the wire now.', (r) => r.in_flight),
    gauge(name('dead_letters'), 'Changes refused for good that wait.', (r) => r.dead_letters),
    gauge(
      name('lag_seconds'),
      'Age of the oldest change not yet acknowledged, 0 without one.',
      (r) => ageSeconds(r.oldest_pending),
    ),
    gauge(
      name('stalled_seconds'),
      'Time without an acknowledgement once it is too long, else 0.',
      (r) => ageSeconds(r.stalled_since),
    ),
    gauge(name('link_up'), '1 while the remote answers, else 0.', (r) =>
      downStates.has(r.state) ? 0 : 1,
    ),
    total(
      name('saved_bytes_total'),
      'Bytes that compression has saved since the start.',
      (r) => r.saved_bytes,
    ),
    ...heldPublishers(gauge, name),
    ...verifyPublishers(gauge, name),
    addStates(registry, name('link_state')),
    addLag(registry, name('lag_quantile_seconds')),
  ]
  return (remotes) => {
    for (const publish of publishers) publish(remotes)
  }
}

type MakeGauge = (name: string, help: string, value: (remote: RemoteStatus) => number) => Publisher

function heldPublishers(gauge: MakeGauge, name: (rest: string) => string): readonly Publisher[] {
  return [
    gauge(
      name('held_deletes'),
      'Deletes and purges held since a limit was reached.',
      (r) => r.held_deletes,
    ),
    gauge(name('held_objects'), 'Objects that those remove, at most.', (r) => r.held_objects),
    gauge(
      name('apply_delay_seconds'),
      'How old a change must be before it is sent.',
      (r) => r.apply_delay_seconds,
    ),
    gauge(name('delayed'), 'Changes that are not old enough yet.', (r) => r.delayed_events),
  ]
}

function verifyPublishers(gauge: MakeGauge, name: (rest: string) => string): readonly Publisher[] {
  return [
    gauge(
      name('verify_equal'),
      '1 when the last comparison proved the remote equal, 0 when it differs, -1 when unknown.',
      (r) => equality(r.verify),
    ),
    gauge(
      name('verify_differences'),
      'Differences that the last comparison found.',
      (r) => r.verify?.differences ?? 0,
    ),
    gauge(
      name('verify_timestamp_seconds'),
      'When the last comparison ended, seconds since 1970; 0 before the first.',
      (r) => (r.verify === null ? 0 : Date.parse(r.verify.checked_at) / 1000),
    ),
  ]
}

function equality(verify: RemoteStatus['verify']): number {
  if (verify === null || verify.verdict === 'unknown') return -1
  return verify.verdict === 'equal' ? 1 : 0
}

function addStates(registry: Registry, name: string): Publisher {
  const help = '1 for the state that the link is in, 0 for the others.'
  const labelNames = ['remote', 'state'] as const
  const series = new Gauge({ name, help, labelNames, registers: [registry] })
  return (remotes) => {
    series.reset()
    for (const remote of remotes) {
      for (const state of Object.keys(states)) {
        series.set({ remote: remote.name, state }, remote.state === state ? 1 : 0)
      }
    }
  }
}

/** Absent while nothing was acknowledged in the last minute. */
function addLag(registry: Registry, name: string): Publisher {
  const help = 'Commit here to durable acknowledgement there, over the last minute.'
  const labelNames = ['remote', 'quantile'] as const
  const series = new Gauge({ name, help, labelNames, registers: [registry] })
  return (remotes) => {
    series.reset()
    for (const { name: remote, lag_p50_ms, lag_p99_ms } of remotes) {
      if (lag_p50_ms !== null) series.set({ remote, quantile: '0.5' }, lag_p50_ms / 1000)
      if (lag_p99_ms !== null) series.set({ remote, quantile: '0.99' }, lag_p99_ms / 1000)
    }
  }
}

function ageSeconds(time: string | null): number {
  return time === null ? 0 : Math.max(0, (Date.now() - Date.parse(time)) / 1000)
}
