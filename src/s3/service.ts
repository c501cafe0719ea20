import type { ByteBudget } from '../base/byte-budget.ts'
import type { Logger } from '../base/log.ts'
import type { ObjectsElsewhere } from '../store/model/elsewhere.ts'
import type { ObjectStore } from '../store/model/object-store.ts'
import type { Exchange } from './exchange.ts'
import type { ProgressWatch } from './progress-watch.ts'

/** What the handlers of all operations share. */
export interface S3Service {
  readonly store: ObjectStore
  /** Asked for what the store lacks; undefined where nobody is. */
  readonly elsewhere: ObjectsElsewhere | undefined
  readonly logger: Logger
  readonly budget: ByteBudget
  readonly watch: ProgressWatch
  /** Notices who is slow, long before `watch` ends who stands still. */
  readonly pace: ProgressWatch
  readonly region: string
  readonly autoCreateBuckets: boolean
  readonly collectBytesMax: number
  readonly wholeBytesMax: number
  readonly objectBytesMax: number
}

/**
 * Holds `bytes`, or the whole budget where that is less, until {@link releaseBytes}. Undefined when
 * they were there at once.
 */
export function acquireBytes(
  service: Pick<S3Service, 'budget'>,
  exchange: Exchange,
  bytes: number,
): Promise<void> | undefined {
  if (tryAcquireBytes(service, bytes)) return undefined
  const wanted = Math.min(bytes, service.budget.capacityBytes)
  return service.budget.acquire(wanted, { signal: exchange.signal })
}

/** The same for those who would rather do something else than wait. */
export function tryAcquireBytes({ budget }: Pick<S3Service, 'budget'>, bytes: number): boolean {
  return budget.tryAcquire(Math.min(bytes, budget.capacityBytes))
}

export function releaseBytes(service: Pick<S3Service, 'budget'>, bytes: number): void {
  service.budget.release(Math.min(bytes, service.budget.capacityBytes))
}
