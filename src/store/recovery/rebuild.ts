/**
 * An index from nothing but the log: what recovery does with an empty one, and the sweeps that the
 * old one had behind it. It goes on behind damage and says what of that mattered. The volume is only
 * read, until {@link continueBehind} is asked for. What only the index knew begins anew: cursors and
 * counters of remotes, their dead letters, the marks of other sites.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { LogPosition, ReplayedRecord, Volume } from '../../volume/volume.ts'
import { Accounts } from '../tables/accounts.ts'
import { IndexBatch } from '../tables/index-batch.ts'
import { claimIndex } from './index-identity.ts'
import { type RecoveredParts, type RecoverPartsOptions, recoverParts } from './recovered-parts.ts'
import type { GuessedRecord, LostPut, ReplayLog } from './recovery.ts'
import { type KnownLog, type LogDamage, SalvagedLog } from './salvaged-log.ts'
import { sweepSeen } from './sweep-seen.ts'

export interface RebuiltIndex {
  /** Of the log. */
  readonly records: number
  readonly objects: number
  readonly bytes: number
  /** The last seq given. */
  readonly head: number
  readonly damage: LogDamage
}

/**
 * @param index empty
 * @param onRecord told how far it is
 * @throws CorruptLogError, LostLogError
 */
export async function rebuildIndex(
  index: OrderedIndex,
  options: RecoverPartsOptions & {
    readonly onRecord?: (at: LogPosition) => void
    readonly known?: KnownLog | undefined
  },
): Promise<RebuiltIndex> {
  const { volume, clock, known, onRecord = () => undefined } = options
  await claimIndex(index, volume.identity)
  const salvaged = new SalvagedLog(volume, known)
  const log: ReplayLog = {
    passesUnreadable: salvaged.passesUnreadable,
    replay: () => watched(salvaged.replay(), onRecord),
    readRecord: (location, expect) => salvaged.readRecord(location, expect),
  }
  const parts = await recoverParts(index, options, log)
  const damage = await salvaged.judge(parts)
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
  return { records: parts.replayed, objects, bytes, head: parts.accounts.state.seq, damage }
}

async function* watched(
  records: AsyncIterable<ReplayedRecord | GuessedRecord | LostPut>,
  onRecord: (at: LogPosition) => void,
): AsyncGenerator<ReplayedRecord | GuessedRecord | LostPut> {
  for await (const record of records) {
    onRecord('lostPut' in record ? record.groupEnd : record.location)
    yield record
  }
}

async function writeTotals({ index, accounts }: RecoveredParts): Promise<void> {
  const batch = new IndexBatch(index)
  accounts.flush(batch)
  await index.write(batch.operations)
}

/**
 * Goes on in a new segment of the log, and notes that in the index: behind what is damaged in the newest
 * one nothing can be written, nor a start of the site begin to read.
 */
export async function continueBehind(index: OrderedIndex, volume: Volume): Promise<void> {
  const accounts = await Accounts.load(index, volume.segments())
  await volume.activate()
  accounts.checkpointAt(volume.logPosition())
  const batch = new IndexBatch(index)
  accounts.flush(batch)
  await index.write(batch.operations)
}
