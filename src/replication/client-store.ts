/**
 * The store as clients get it: writes are refused where this site takes none from them, and in sync
 * mode an answer waits until remotes have the write too. What other sites ship does not come this
 * way, so applied changes never wait for onward sync. It must never know HTTP.
 */
import { unreachable } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { formatDuration } from '../base/duration.ts'
import type {
  BucketInfo,
  DeleteInput,
  ListInput,
  ListPage,
  ObjectInfo,
  ObjectName,
  ObjectStore,
  OpenObject,
  PurgePreview,
  PutInput,
} from '../store/model/object-store.ts'
import { objectSlot, type Slot } from '../store/model/slot.ts'
import type { SyncFailure, SyncGate, SyncVerdict } from './send/sync-gate.ts'
import { SyncUnconfirmedError } from './wire/errors.ts'

/** What becomes of a write that no remote has confirmed: refused by name, or answered all the same. */
export type SyncFallback = 'error' | 'async'

export interface ClientStoreOptions {
  readonly store: ObjectStore
  /** The same object, read from elsewhere where its bytes are damaged. */
  readonly heal?: (object: OpenObject) => OpenObject
  /** Called before each write; what it returns, after it. @throws when clients may not write here */
  readonly beginWrite: () => (() => void) | Promise<() => void>
  readonly sync: {
    readonly gate: SyncGate
    readonly fallback: SyncFallback
    readonly timeoutMs: number
  }
  readonly clock: Clock
}

/** Sync mode in figures, since this site was started. */
export interface SyncFigures {
  readonly waiting: number
  readonly confirmed: number
  /** Not confirmed: answered with an error. */
  readonly timedOut: number
  /** Not confirmed: answered as in async mode. */
  readonly fallbacks: number
  /** Wall ms of the first such answer that a remote still lacks the write of; undefined when none is. */
  readonly degradedSince: number | undefined
}

export class ClientStore implements ObjectStore {
  readonly #options: ClientStoreOptions
  readonly #store: ObjectStore
  #confirmed = 0
  #timedOut = 0
  #fallbacks = 0
  /** Writes up to here were answered, or may have been, without a remote that has them. */
  #degraded: { readonly since: number; upTo: number } | undefined

  constructor(options: ClientStoreOptions) {
    this.#options = options
    this.#store = options.store
  }

  /** Undefined while no remote is in mode sync. */
  syncFigures(): SyncFigures | undefined {
    const { sync } = this.#options
    if (!sync.gate.isOpen) return undefined
    if (this.#degraded !== undefined && !sync.gate.isBehind(this.#degraded.upTo)) {
      this.#degraded = undefined
    }
    return {
      waiting: sync.gate.waiting,
      confirmed: this.#confirmed,
      timedOut: this.#timedOut,
      fallbacks: this.#fallbacks,
      degradedSince: this.#degraded?.since,
    }
  }

  putObject(input: PutInput): Promise<ObjectInfo> {
    const slot = objectSlot(input.bucket, input.key)
    return this.write(slot, () => this.#store.putObject(input))
  }

  deleteObject(input: DeleteInput): Promise<boolean> {
    const slot = objectSlot(input.bucket, input.key)
    return this.write(slot, () => this.#store.deleteObject(input))
  }

  createBucket(bucket: string): Promise<boolean> {
    return this.write({ kind: 'bucket', bucket }, () => this.#store.createBucket(bucket))
  }

  deleteBucket(bucket: string): Promise<void> {
    return this.write({ kind: 'bucket', bucket }, () => this.#store.deleteBucket(bucket))
  }

  purgeBucket(bucket: string): Promise<PurgePreview> {
    return this.write({ kind: 'floor', bucket }, () => this.#store.purgeBucket(bucket))
  }

  headObject(name: ObjectName): ObjectInfo | undefined {
    return this.#store.headObject(name)
  }

  openObject(name: ObjectName): OpenObject | undefined {
    const object = this.#store.openObject(name)
    const { heal } = this.#options
    return object === undefined || heal === undefined ? object : heal(object)
  }

  listObjects(input: ListInput): Promise<ListPage> {
    return this.#store.listObjects(input)
  }

  bucketExists(bucket: string): Promise<boolean> {
    return this.#store.bucketExists(bucket)
  }

  listBuckets(): Promise<readonly BucketInfo[]> {
    return this.#store.listBuckets()
  }

  previewPurge(bucket: string): Promise<PurgePreview> {
    return this.#store.previewPurge(bucket)
  }

  /**
   * A write of a client, whichever way it comes. What did nothing waits too: that there was nothing to do
   * may rest on a write not confirmed yet.
   */
  async write<T>(slot: Slot, work: () => Promise<T>): Promise<T> {
    const begun = this.#options.beginWrite()
    const endWrite = begun instanceof Promise ? await begun : begun
    try {
      const result = await work()
      const { gate } = this.#options.sync
      if (gate.isOpen) this.#judge(await gate.confirm(slot))
      return result
    } finally {
      endWrite()
    }
  }

  /** @throws SyncUnconfirmedError */
  #judge(verdict: SyncVerdict): void {
    if (verdict.confirmed) {
      this.#confirmed++
      return
    }
    const { sync, clock } = this.#options
    const { seq } = verdict
    if (this.#degraded === undefined) this.#degraded = { since: clock.now(), upTo: seq }
    else this.#degraded.upTo = Math.max(this.#degraded.upTo, seq)
    if (sync.fallback === 'async') {
      this.#fallbacks++
      return
    }
    this.#timedOut++
    const who = whoseFault(verdict.failures, sync.timeoutMs)
    throw new SyncUnconfirmedError(`stored locally, not confirmed ${who}`, {
      hint: 'It is shipped as soon as that is possible. Writing it again does no harm.',
      facts: { reason: verdict.reason, seq },
    })
  }
}

/** Each remote with its own reason; those that share one together. */
function whoseFault(
  failures: readonly { readonly remote: string; readonly reason: SyncFailure }[],
  timeoutMs: number,
): string {
  return [...Map.groupBy(failures, ({ reason }) => reason)]
    .map(([reason, those]) => {
      const names = those.map(({ remote }) => `remote ${remote}`).join(' and ')
      return `by ${names}: ${reasonOf(reason, timeoutMs)}`
    })
    .join('; ')
}

function reasonOf(failure: SyncFailure, timeoutMs: number): string {
  switch (failure) {
    case 'timeout':
      return `no acknowledgement within ${formatDuration(timeoutMs)}`
    case 'away':
      return 'it has not been reachable for a while'
    case 'later':
      return 'it cannot take changes at the moment'
    case 'refused':
      return 'it refuses this change'
    case 'held':
      return 'more was deleted than its limits allow, so this waits for comio repl release or discard'
    case 'crowded':
      return 'too many writes wait for it'
    case 'closing':
      return 'this site is shutting down'
    default:
      return unreachable(failure)
  }
}
