/** What the sequencer decides against. */
import type { ObjectName } from '../model/object-store.ts'
import type { Context, Version } from '../model/version.ts'
import type { BucketEntry } from '../tables/bucket-entry.ts'
import { objectKey, tombstoneKey } from '../tables/keys.ts'
import {
  decodeLiveEntry,
  decodeTombstone,
  type LiveEntry,
  type SlotEntry,
} from '../tables/slot-entry.ts'

/** A bucket's purge: everything at or below is absent, what the context does not cover lost to it. */
export interface Floor {
  readonly version: Version
  readonly context: Context
  /** Its place in this site's feed. */
  readonly seq: number
  /** What is at or below was swept: seen, or listed and kept. */
  readonly swept: Version | undefined
}

/** A slot as the next write sees it. */
export interface CurrentSlot {
  /** What the index or a pending write holds, even when it lies under the floor. */
  readonly entry: SlotEntry | undefined
  /** The entry, when it is live and above the floor. */
  readonly live: LiveEntry | undefined
  readonly after: Promise<void> | undefined
}

export interface StampedWrite {
  readonly version: Version
  readonly context: Context
  /** What {@link Sequencer.current} has just said of the slot. */
  readonly previous: SlotEntry | undefined
}

/** @param read of the index, or of a batch on top of it */
export function readSlot(
  { bucket, key }: ObjectName,
  read: (key: Buffer) => Buffer | undefined,
): SlotEntry | undefined {
  const live = read(objectKey(bucket, key))
  if (live !== undefined) return decodeLiveEntry(live)
  const tombstone = read(tombstoneKey(bucket, key))
  return tombstone === undefined ? undefined : decodeTombstone(tombstone)
}

export function indexedFloor(entry: BucketEntry): Floor | undefined {
  const { floor: version, floorContext: context, floorPlace, swept } = entry
  return version && { version, context, seq: floorPlace?.seq ?? 0, swept }
}
