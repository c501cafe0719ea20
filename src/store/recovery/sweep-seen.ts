/**
 * The sweep without the site: takes out what a purge hides and its author had seen, of which nothing
 * must be written down. What nobody had seen is left to the sweep of the site, which first lists it.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { isSeenHere } from '../conflicts/losers.ts'
import type { SiteId } from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import { nothingLaunched, removeSwept } from '../tables/effects.ts'
import { IndexBatch } from '../tables/index-batch.ts'
import { keyBytesOf, objectsRange } from '../tables/keys.ts'
import { readChunks } from '../tables/read-all.ts'
import { decodeLiveEntry } from '../tables/slot-entry.ts'
import { indexedFloor } from '../write/current-slot.ts'

export interface SweepSeenOptions {
  /** Everything that was replayed is in it. */
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly siteId: SiteId
  /** Wall ms. */
  readonly now: number
}

/** @returns how many objects are left under the floor */
export async function sweepSeen(bucket: string, options: SweepSeenOptions): Promise<number> {
  const { index, accounts, siteId, now } = options
  const floor = indexedFloor(accounts.bucket(bucket))
  if (floor === undefined) return 0
  const bucketLength = Buffer.byteLength(bucket)
  let left = 0
  for await (const entries of readChunks(index, objectsRange(bucket, Buffer.alloc(0)))) {
    const batch = new IndexBatch(index)
    const effects = { batch, accounts, launched: nothingLaunched, now }
    for (const [indexKey, value] of entries) {
      const entry = decodeLiveEntry(value)
      if (entry.version > floor.version) continue
      const key = keyBytesOf(indexKey, bucketLength).toString()
      if (isSeenHere(siteId, floor, { key, entry })) removeSwept(effects, { bucket, key, entry })
      else left++
    }
    accounts.flush(batch)
    await index.write(batch.operations)
  }
  return left
}
