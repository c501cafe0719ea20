/** Counting what of the feed is done for a remote, exactly, while writers go on. */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { FeedPlace, PurgePreview } from '../model/object-store.ts'
import type { Accounts } from '../tables/accounts.ts'
import { decodeChangeEntry } from '../tables/change-entry.ts'
import { changeKey, seqOf } from '../tables/keys.ts'
import type { LedgerState } from '../tables/ledger-state.ts'
import { readChunks } from '../tables/read-all.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'

export interface CountedLedger {
  readonly state: LedgerState
  readonly index: OrderedIndex
  readonly pipeline: CommitPipeline
  readonly accounts: Accounts
  readonly isWanted: (place: FeedPlace) => boolean
}

/** A figure that stays right until `stop`: removals are followed. */
interface RunningCount {
  total(): PurgePreview
  stop(): void
}

/**
 * What is done above `from`. For a remote that wants everything it is all places, less those at or
 * below `from`, less what is pending: so only the lower part is counted, and nothing for 0. For any
 * other the places that concern it are counted up to `high`, which only a taker moves, and takers wait.
 */
export async function doneAbove(ledger: CountedLedger, from: number): Promise<RunningCount> {
  const { state, accounts } = ledger
  if (!state.wantsEverything) {
    const { high } = state
    const above = await countLive(ledger, { after: from, upTo: high })
    // Callers go back at least as far as anything is held: all of that lies above.
    const total = (): PurgePreview => {
      const pending = outstandingIn(ledger, from, high)
      return less(less(above.total(), pending), { count: state.held.count, bytes: 0 })
    }
    return { total, stop: above.stop }
  }
  const below = await countLive(ledger, { after: 0, upTo: from })
  const total = (): PurgePreview => {
    const all = { count: accounts.state.places, bytes: accounts.state.placeBytes }
    const pending = { count: state.pending, bytes: state.pendingBytes }
    const pendingAbove = less(pending, outstandingIn(ledger, 0, from))
    return less(less(all, below.total()), pendingAbove)
  }
  return { total, stop: below.stop }
}

/** Live places above `after` up to `upTo` that concern this remote: only removals can change it. */
async function countLive(
  { state, index, pipeline, isWanted }: CountedLedger,
  { after, upTo }: { readonly after: number; readonly upTo: number },
): Promise<RunningCount> {
  let count = 0
  let bytes = 0
  let stop = (): void => undefined
  const total = (): PurgePreview => ({ count, bytes })
  const removed = new Set<number>()
  let walked = after
  // From the building of a batch on: what that batch removed before is not in the snapshot either.
  await pipeline.runTask(() => {
    stop = state.watchRemovals((place) => {
      if (place.seq <= after || place.seq > upTo) return
      removed.add(place.seq)
      if (place.seq > walked || !state.wants(place)) return
      count--
      bytes -= place.bytes
    })
  })
  if (upTo <= after) return { total, stop }
  const range = { gte: changeKey(after + 1), lt: changeKey(upTo + 1) }
  for await (const entries of readChunks(index, range)) {
    for (const [key, value] of entries) {
      walked = seqOf(key)
      if (removed.has(walked)) continue
      const place = decodeChangeEntry(walked, value)
      if (!isWanted(place)) continue
      count++
      bytes += place.bytes
    }
  }
  return { total, stop }
}

function outstandingIn({ state, index }: CountedLedger, after: number, upTo: number): PurgePreview {
  let count = 0
  let bytes = 0
  for (const seq of state.outstanding.keys()) {
    if (seq <= after || seq > upTo) continue
    const entry = index.get(changeKey(seq))
    count++
    bytes += entry === undefined ? 0 : decodeChangeEntry(seq, entry).bytes
  }
  return { count, bytes }
}

function less(from: PurgePreview, taken: PurgePreview): PurgePreview {
  return { count: from.count - taken.count, bytes: from.bytes - taken.bytes }
}
