import { setTimeout as sleep } from 'node:timers/promises'
import type { RemoteStatus } from '../admin/protocol.ts'
import { DemoFailedError } from './errors.ts'

/** What the demo asks a site's control plane. */
export interface LinkSource {
  link(): Promise<RemoteStatus>
}

export interface CatchUpOptions {
  readonly source: LinkSource
  readonly onStatus: (remote: RemoteStatus) => void
  readonly signal: AbortSignal | undefined
  /** Without any change for so long, it counts as stuck. */
  readonly stuckMs?: number
}

const lookMs = 100

/**
 * Waits until nothing is pending and returns that status.
 * @throws DemoFailedError when nothing moves, or when the remote refused a change for good
 */
export async function untilCaughtUp(options: CatchUpOptions): Promise<RemoteStatus> {
  const { source, onStatus, signal, stuckMs = 60_000 } = options
  let last = ''
  let movedAt = performance.now()
  for (;;) {
    signal?.throwIfAborted()
    const remote = await source.link()
    onStatus(remote)
    if (remote.events_failed > 0) {
      throw new DemoFailedError(`B refused ${remote.events_failed} changes: ${remote.last_error}`)
    }
    if (remote.pending_events === 0) return remote
    const progress = progressOf(remote)
    if (progress !== last) movedAt = performance.now()
    last = progress
    if (performance.now() - movedAt > stuckMs) {
      const reason = remote.last_error ?? `the link is ${remote.state}`
      throw new DemoFailedError(
        `${remote.pending_events} changes do not get to B for ${stuckMs / 1000} s: ${reason}`,
      )
    }
    await sleep(lookMs)
  }
}

function progressOf(remote: RemoteStatus): string {
  const { cursor, pending_events, pending_bytes, events_replicated, in_flight, pulling } = remote
  return [cursor, pending_events, pending_bytes, events_replicated, in_flight, pulling].join(' ')
}
