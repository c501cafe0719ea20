/**
 * A replay of a selection that is under way. What it selects may be a million places: they are not
 * made outstanding at once, which would be written whole with every batch, but are queued again in
 * steps, as the sender has room. Kept in the ledger is only how far the walk is, so a restart goes on.
 */
import type { ByteReader } from '../../base/byte-reader.ts'
import type { ByteWriter } from '../../base/byte-writer.ts'
import type { DeadLetter, FeedPlace, ReplayFilter } from './object-store.ts'
import { timeOf } from './version.ts'

export interface ReplaySelection {
  /** Walks the feed's places, or the dead letters. */
  readonly source: 'places' | 'letters'
  readonly filter: ReplayFilter
  /** Walked up to here. */
  after: number
  /** The last place to look at: all above were pending when it began. */
  through: number
  /** What was counted when it began, less what is queued again. */
  left: number
}

/** Walks that one remote has at a time, at most: each stands in every write of its ledger. */
export const replaysMax = 16

/** Whether a place was made at or after `since` goes by the later of its times: sending more is safe. */
export function isSelected(filter: ReplayFilter, place: FeedPlace | DeadLetter): boolean {
  const { bucket, prefix = '', since = 0 } = filter
  const { slot } = place
  if (bucket !== undefined && slot.bucket !== bucket) return false
  if (prefix !== '' && !(slot.kind === 'object' && slot.key.startsWith(prefix))) return false
  const queuedAt = 'since' in place ? place.since : place.time
  return Math.max(queuedAt, timeOf(place.version)) >= since
}

export function encodeSelections(writer: ByteWriter, replays: readonly ReplaySelection[]): void {
  writer.varint(replays.length)
  for (const { source, filter, after, through, left } of replays) {
    writer
      .u8(source === 'places' ? 0 : 1)
      .u64(after)
      .u64(through)
      .u64(left)
    writer
      .text(filter.bucket ?? '')
      .text(filter.prefix ?? '')
      .u64(filter.since ?? 0)
  }
}

export function decodeSelections(reader: ByteReader): readonly ReplaySelection[] {
  const replays: ReplaySelection[] = []
  for (let left = reader.varint(); left > 0; left--) replays.push(decodeSelection(reader))
  return replays
}

function decodeSelection(reader: ByteReader): ReplaySelection {
  const source = reader.u8() === 0 ? 'places' : 'letters'
  const walk = { after: reader.u64(), through: reader.u64(), left: reader.u64() }
  const bucket = reader.text()
  const filter: ReplayFilter = {
    ...(bucket === '' ? {} : { bucket }),
    prefix: reader.text(),
    since: reader.u64(),
  }
  return { source, filter, ...walk }
}
