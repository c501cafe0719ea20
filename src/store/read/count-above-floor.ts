/** Counts what a purge would take while the counters still have what an earlier one has taken. */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { PurgePreview } from '../model/object-store.ts'
import type { Version } from '../model/version.ts'
import { objectsRange } from '../tables/keys.ts'
import { readChunks } from '../tables/read-all.ts'
import { decodeLiveEntry } from '../tables/slot-entry.ts'

export async function countAboveFloor(
  index: OrderedIndex,
  bucket: string,
  floor: Version | undefined,
): Promise<PurgePreview> {
  let count = 0
  let bytes = 0
  for await (const entries of readChunks(index, objectsRange(bucket, Buffer.alloc(0)))) {
    for (const [, value] of entries) {
      const { version, meta } = decodeLiveEntry(value)
      if (floor !== undefined && version <= floor) continue
      count++
      bytes += meta.size
    }
  }
  return { count, bytes }
}
