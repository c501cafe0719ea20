/** What an index says of itself, without the volume: how far it is, and what of the log is alive. */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { LogPosition } from '../../volume/volume.ts'
import { segmentsRange, stateKey } from './keys.ts'
import { readAll } from './read-all.ts'
import { decodeSegmentCount, decodeStoreState, type SegmentCount } from './small-entries.ts'

export interface IndexSummary {
  /** Everything in the log before it is in the index. */
  readonly checkpoint: LogPosition | undefined
  /** The last seq given. */
  readonly head: number
  /** Live places of the feed. */
  readonly places: number
  /** Live records, by segment. */
  readonly segments: ReadonlyMap<number, SegmentCount>
}

/** @throws CorruptIndexError, MalformedBytesError */
export async function summarizeIndex(index: OrderedIndex): Promise<IndexSummary> {
  const stored = index.get(stateKey)
  const state = stored && decodeStoreState(stored)
  const segments = new Map<number, SegmentCount>()
  for (const [key, value] of await readAll(index, segmentsRange)) {
    segments.set(key.readUInt32BE(1), decodeSegmentCount(value))
  }
  return {
    checkpoint: state?.checkpoint,
    head: state?.seq ?? 0,
    places: state?.places ?? 0,
    segments,
  }
}
