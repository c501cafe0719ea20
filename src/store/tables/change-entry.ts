/** A place in the change feed, as the index keeps it under its seq. */
import { ByteWriter } from '../../base/byte-writer.ts'
import { decodeLabel, encodeLabel } from '../model/mutation.ts'
import type { FeedPlace } from '../model/object-store.ts'
import { entryReader } from './slot-entry.ts'

/** @param label the mutation's, where it is at hand */
export function encodeChangeEntry(place: FeedPlace, label?: Uint8Array): Buffer {
  return new ByteWriter(96)
    .u8(1)
    .varint(place.bytes)
    .u64(place.since)
    .raw(label ?? encodeLabel(place.slot, place.version))
    .finish()
}

export function decodeChangeEntry(seq: number, bytes: Uint8Array): FeedPlace {
  const reader = entryReader(bytes)
  const size = reader.varint()
  const since = reader.u64()
  const { slot, version } = decodeLabel(reader.raw(reader.remaining))
  return { seq, slot, version, bytes: size, since }
}

/** Only the bytes and the time, for the hot path that drops a place. */
export function decodeChangeSince(bytes: Uint8Array): number {
  const reader = entryReader(bytes)
  reader.varint()
  return reader.u64()
}
