/**
 * What a site's index says, decoded from the durable map itself and not by the code under test's own
 * look-ups: the checkers' view.
 */
import type { SortedMap } from '../index/sorted-map.ts'
import type { DeadLetter, FeedPlace } from '../store/model/object-store.ts'
import { type BucketEntry, decodeBucketEntry } from '../store/tables/bucket-entry.ts'
import { decodeChangeEntry } from '../store/tables/change-entry.ts'
import { type ConflictEntry, decodeConflictEntry } from '../store/tables/conflict-entry.ts'
import { nameOf, seqOf } from '../store/tables/keys.ts'
import { decodeLetterEntry } from '../store/tables/letter-entry.ts'
import { decodeRemoteEntry, type RemoteEntry } from '../store/tables/remote-entry.ts'
import {
  decodeLiveEntry,
  decodeTombstone,
  type LiveEntry,
  type TombstoneEntry,
} from '../store/tables/slot-entry.ts'
import {
  decodeExtents,
  decodeSegmentCount,
  decodeStoreState,
  type SegmentCount,
  type StoreState,
} from '../store/tables/small-entries.ts'
import type { Location } from '../volume/volume.ts'

export interface SlotName {
  readonly bucket: string
  readonly key: string
}

export interface StoredLetter {
  readonly remote: string
  readonly letter: DeadLetter
  readonly location: Location
}

export interface SiteContents {
  /** By `slotOf`. */
  readonly live: ReadonlyMap<string, LiveEntry>
  readonly tombstones: ReadonlyMap<string, TombstoneEntry>
  readonly buckets: ReadonlyMap<string, BucketEntry>
  /** By seq, ascending. */
  readonly places: ReadonlyMap<number, FeedPlace>
  readonly blobs: ReadonlyMap<string, readonly Location[]>
  readonly segments: ReadonlyMap<number, SegmentCount>
  readonly letters: readonly StoredLetter[]
  readonly conflicts: readonly ConflictEntry[]
  /** Encoded: by remote. */
  readonly ledgers: ReadonlyMap<string, Buffer>
  readonly remotes: readonly RemoteEntry[]
  readonly uploads: readonly Buffer[]
  readonly state: StoreState | undefined
}

export function slotOf({ bucket, key }: SlotName): string {
  return `${bucket}/${key}`
}

export function readContents(map: SortedMap): SiteContents {
  const contents = {
    live: new Map<string, LiveEntry>(),
    tombstones: new Map<string, TombstoneEntry>(),
    buckets: new Map<string, BucketEntry>(),
    places: new Map<number, FeedPlace>(),
    blobs: new Map<string, readonly Location[]>(),
    segments: new Map<number, SegmentCount>(),
    letters: [] as StoredLetter[],
    conflicts: [] as ConflictEntry[],
    ledgers: new Map<string, Buffer>(),
    remotes: [] as RemoteEntry[],
    uploads: [] as Buffer[],
    state: undefined as StoreState | undefined,
  }
  for (const [key, value] of entriesOf(map)) {
    switch (String.fromCharCode(key[0] ?? 0)) {
      case 'o':
        contents.live.set(slotInKey(key), decodeLiveEntry(value))
        break
      case 't':
        contents.tombstones.set(slotInKey(key), decodeTombstone(value))
        break
      case 'b':
        contents.buckets.set(nameOf(key), decodeBucketEntry(value))
        break
      case 'c':
        contents.places.set(seqOf(key), decodeChangeEntry(seqOf(key), value))
        break
      case 'l':
        contents.blobs.set(key.toString('hex', 1), decodeExtents(value))
        break
      case 's':
        contents.segments.set(key.readUInt32BE(1), decodeSegmentCount(value))
        break
      case 'd':
        contents.letters.push({
          remote: key.toString('utf8', 1, key.length - 9),
          ...decodeLetterEntry(value),
        })
        break
      case 'x':
        contents.conflicts.push(decodeConflictEntry(value))
        break
      case 'r':
        contents.ledgers.set(nameOf(key), value)
        break
      case 'n':
        contents.remotes.push(decodeRemoteEntry(nameOf(key), value))
        break
      case 'u':
        contents.uploads.push(value)
        break
      case 'm':
        if (nameOf(key) === 'state') contents.state = decodeStoreState(value)
        break
      default:
        // Peers' marks: nothing is counted of them.
        break
    }
  }
  return contents
}

function slotInKey(indexKey: Buffer): string {
  return indexKey.toString('utf8', 1).replace('\0', '/')
}

function* entriesOf(map: SortedMap): Generator<readonly [Buffer, Buffer]> {
  let at: Buffer = Buffer.alloc(0)
  for (;;) {
    const entry = map.atOrAfter(at)
    if (entry === undefined) return
    yield entry
    at = Buffer.concat([entry[0], Buffer.of(0)])
  }
}
