/** `auto`: the remote pulls, and what it cannot reach is pushed. */
export type TransferMode = 'pull' | 'push' | 'auto'

/** Objects pushed to one remote at a time; each has a connection. */
export const pushLanes = 4

/** What replication may be told. The server fills this from configuration. */
export interface ReplicationOptions {
  /** Changes in one request at most. */
  readonly batchSize: number
  /** An upper bound that holds by itself: an idle worker sends at once, a busy one when it is free. */
  readonly batchIntervalMs: number
  /** Bytes of bodies in one request at most, unless one body alone exceeds it. */
  readonly batchBytes: number
  /** How often a change may fail alone, while others pass, before it becomes a dead letter. */
  readonly retryAttempts: number
  /** Longest pause before a remote, or a failed change, is tried again. */
  readonly retryDelayMs: number
  /** Requests to one remote at a time. */
  readonly workers: number
  /** A backlog without an acknowledgement for so long shows as stalled. */
  readonly stallAfterMs: number
  /** An idle remote is asked this often whether it is still there, and still the same. */
  readonly heartbeatMs: number
  /** Changes taken from the feed and not yet settled, at most. */
  readonly queueSize: number
  /** Larger objects are offered, and travel as `transfer` says. */
  readonly inlineLimit: number
  /** How large objects travel. */
  readonly transfer: TransferMode
  /** A large object travels in ranges of this size, several at a time. */
  readonly rangeBytes: number
  /** What a sender that is in touch has begun here and not asked for any more for so long is given up. */
  readonly abandonedAfterMs: number
  /** More deleted objects than this in a window are held; undefined for no limit. */
  readonly maxDeleteCount: number | undefined
  /** The same in percent of the objects that there are. */
  readonly maxDeletePercent: number | undefined
  readonly deleteWindowMs: number
  /** Every change waits until it is so old. */
  readonly applyDelayMs: number
  /** The store's: how far ahead of local time an incoming version may be. */
  readonly maxClockSkewMs: number
}

export const defaultReplicationOptions: ReplicationOptions = {
  batchSize: 100,
  batchIntervalMs: 1000,
  batchBytes: 8 * 2 ** 20,
  retryAttempts: 3,
  retryDelayMs: 5000,
  stallAfterMs: 300_000,
  heartbeatMs: 30_000,
  workers: 5,
  queueSize: 10_000,
  inlineLimit: 2 ** 20,
  transfer: 'auto',
  rangeBytes: 4 * 2 ** 20,
  abandonedAfterMs: 3_600_000,
  maxDeleteCount: undefined,
  maxDeletePercent: undefined,
  deleteWindowMs: 3_600_000,
  applyDelayMs: 0,
  maxClockSkewMs: 300_000,
}
