/**
 * What a record that was copied forward does to the index: whoever referred to where it lay refers to
 * the copy. It keeps its seq and version and takes no place in the feed. Live path and replay alike:
 * a copy counts while the slot still has its seq, and the last one in the log is the one that stays.
 */
import type { Location } from '../../volume/volume.ts'
import type { Version } from '../model/version.ts'
import { blobDies, blobLives, type EffectContext } from './effects.ts'
import { deadLetterKey, objectKey, remoteKey, tombstoneKey } from './keys.ts'
import { decodeLetterEntry, encodeLetterEntry } from './letter-entry.ts'
import type { PlacedBlob } from './records.ts'
import { encodeRemoteEntry, type RemoteEntry } from './remote-entry.ts'
import { encodeLiveEntry, encodeTombstone, type LiveEntry, type SlotEntry } from './slot-entry.ts'

/** Of a slot's record, somewhere in the log. */
export interface RecordCopy {
  readonly kind: 'put' | 'delete' | 'join'
  readonly seq: number
  /** Undefined until it is logged. */
  readonly location: Location | undefined
}

/**
 * The entry that refers to the copy; undefined when the entry is not of that record, or refers to it
 * already. The copy of a put has the context of its join in it and stands for both.
 */
export function entryAfterMove(entry: SlotEntry, copy: RecordCopy): SlotEntry | undefined {
  const { kind, seq, location } = copy
  if (entry.seq !== seq) return undefined
  switch (kind) {
    case 'delete':
      if (entry.kind !== 'tombstone' || isSame(entry.location, location)) return undefined
      return { ...entry, location }
    case 'put':
      if (entry.kind !== 'live' || isSame(entry.location, location)) return undefined
      return { ...entry, location, recordSeq: seq, joinLocation: undefined }
    case 'join': {
      if (entry.kind !== 'live' || entry.joinLocation === undefined) return undefined
      return isSame(entry.joinLocation, location) ? undefined : { ...entry, joinLocation: location }
    }
  }
}

export function slotRecordMoved(
  { batch, accounts }: EffectContext,
  moved: {
    readonly bucket: string
    readonly key: string
    readonly previous: SlotEntry
    readonly next: SlotEntry
  },
): void {
  const { bucket, key, previous, next } = moved
  if (next.kind === 'live') batch.put(objectKey(bucket, key), encodeLiveEntry(next))
  else batch.put(tombstoneKey(bucket, key), encodeTombstone(next))
  const before = recordsOf(previous)
  const after = recordsOf(next)
  for (const location of after) {
    if (!before.some((other) => isSame(other, location))) accounts.recordLives(location)
  }
  for (const location of before) {
    if (!after.some((other) => isSame(other, location))) accounts.recordDies(location)
  }
}

/** A put was written again with sound bytes: of its blobs, the new ones take the place of the old. */
export function putRewritten(
  context: EffectContext,
  rewritten: {
    readonly bucket: string
    readonly key: string
    readonly previous: LiveEntry
    readonly next: LiveEntry
    readonly blobs: readonly PlacedBlob[]
  },
): void {
  const { previous, blobs } = rewritten
  for (const blob of blobs) blobLives(context, blob)
  slotRecordMoved(context, rewritten)
  if (previous.body.kind !== 'blobs') return
  for (const blob of previous.body.blobs) blobDies(context, blob)
}

/** The entry with the blobs that its copy in the log names; undefined when it has just those. */
export function entryWithBlobs(
  entry: SlotEntry,
  blobs: readonly PlacedBlob[],
): LiveEntry | undefined {
  if (entry.kind !== 'live' || entry.body.kind !== 'blobs') return undefined
  const known = entry.body.blobs
  if (known.length === blobs.length && known.every(({ id }, at) => id === blobs[at]?.id)) {
    return undefined
  }
  const body = { kind: 'blobs', blobs: blobs.map(({ id, size }) => ({ id, size })) } as const
  return { ...entry, body }
}

/** Of the bucket's register, or of its floor, which may have been swept since. */
export function bucketRecordMoved(
  { accounts }: EffectContext,
  moved: {
    readonly bucket: string
    readonly place: 'register' | 'floorPlace'
    readonly seq: number
    readonly location: Location
    readonly swept?: Version | undefined
  },
): void {
  const { bucket, place, seq, location, swept } = moved
  const previous = accounts.bucket(bucket)[place]
  if (previous?.seq !== seq || isSame(previous.location, location)) return
  accounts.recordLives(location)
  accounts.recordDies(previous.location)
  accounts.updateBucket(bucket, { [place]: { seq, location } })
  if (place === 'floorPlace') accounts.updateBucket(bucket, { swept })
}

export function remoteRecordMoved(
  { accounts, batch }: EffectContext,
  { record, location }: RemoteEntry,
): void {
  const previous = accounts.remote(record.name)
  if (previous?.record.revision !== record.revision || isSame(previous.location, location)) return
  accounts.recordLives(location)
  accounts.recordDies(previous.location)
  const entry = { record: previous.record, location }
  batch.put(remoteKey(record.name), encodeRemoteEntry(entry))
  accounts.setRemote(entry)
}

/** @returns false when there is no such letter any more, or not yet */
export function letterMoved(
  { accounts, batch }: EffectContext,
  moved: { readonly remote: string; readonly seq: number; readonly location: Location },
): boolean {
  const { remote, seq, location } = moved
  const key = deadLetterKey(remote, seq)
  const stored = batch.read(key)
  if (stored === undefined) return false
  const entry = decodeLetterEntry(stored)
  if (isSame(entry.location, location)) return true
  accounts.recordLives(location)
  accounts.recordDies(entry.location)
  batch.putReadable(key, encodeLetterEntry({ letter: entry.letter, location }))
  return true
}

export function isSame(a: Location | undefined, b: Location | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    a.segment === b.segment &&
    a.generation === b.generation &&
    a.offset === b.offset
  )
}

function recordsOf(entry: SlotEntry): readonly Location[] {
  const join = entry.kind === 'live' ? entry.joinLocation : undefined
  return [entry.location, join].filter((location) => location !== undefined)
}
