/**
 * An index from nothing but the log: what recovery does with an empty one, and the sweeps that the
 * old one had behind it. The volume is only read. What only the index knew begins anew: cursors and
 * counters of remotes, their dead letters, the marks of other sites.
 */
import type { OrderedIndex } from '../index/ordered-index.ts'
import type { LogPosition, ReplayedRecord } from '../volume/volume.ts'
import { IndexBatch } from './index-batch.ts'
import { claimIndex } from './index-identity.ts'
import { type RecoveredParts, type RecoverPartsOptions, recoverParts } from './recovered-parts.ts'
import type { ReplayLog } from './recovery.ts'
import { sweepSeen } from './sweep-seen.ts'

export interface RebuiltIndex {
  /** Of the log. */
  readonly records: number
  readonly objects: number
  readonly bytes: number
  /** The last seq given. */
  readonly head: number
}

/**
 * @param index empty
 * @param onRecord told how far it is
 * @throws CorruptLogError, LostLogError
 */
export async function rebuildIndex(
  index: OrderedIndex,
  options: RecoverPartsOptions & { readonly onRecord?: (at: LogPosition) => void },
): Promise<RebuiltIndex> {
  const { volume, clock, onRecord = () => undefined } = options
  await claimIndex(index, volume.identity)
  const log: ReplayLog = {
    replay: (from) => watched(volume.replay(from), onRecord),
    readRecord: (location, expect) => volume.readRecord(location, expect),
  }
  const parts = await recoverParts(index, options, log)
  const buckets = await parts.accounts.allBuckets()
  const { siteId } = volume.identity
  const now = Math.max(0, Math.floor(clock.now()))
  for (const [name, { sweeping }] of buckets) {
    if (!sweeping) continue
    const left = await sweepSeen(name, { index, accounts: parts.accounts, siteId, now })
    if (left === 0) parts.accounts.updateBucket(name, { sweeping: false })
  }
  // Also where the log is empty: whoever finds the state knows that the index is complete.
  await writeTotals(parts)
  let objects = 0
  let bytes = 0
  for (const { objectCount, objectBytes } of (await parts.accounts.allBuckets()).values()) {
    objects += objectCount
    bytes += objectBytes
  }
  return { records: parts.replayed, objects, bytes, head: parts.accounts.state.seq }
}

async function* watched(
  records: AsyncIterable<ReplayedRecord>,
  onRecord: (at: LogPosition) => void,
): AsyncGenerator<ReplayedRecord> {
  for await (const record of records) {
    onRecord(record.location)
    yield record
  }
}

async function writeTotals({ index, accounts }: RecoveredParts): Promise<void> {
  const batch = new IndexBatch(index)
  accounts.flush(batch)
  await index.write(batch.operations)
}
