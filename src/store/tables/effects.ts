/**
 * What a logged record does to the index: one function per kind, used by the live path and by replay
 * alike, so that what recovery rebuilds is what would have been there. Everything a record does goes
 * into one batch.
 *
 * It must never read the log or decide anything: by whom a write was made, and whether it may be, is
 * settled when its record is here.
 */
import { assert } from '../../base/assert.ts'
import type { Location } from '../../volume/volume.ts'
import { mergeRegisters } from '../model/bucket-register.ts'
import { originOf } from '../model/kept-copy.ts'
import type { BucketMutation, PurgeMutation } from '../model/mutation.ts'
import type { DeadLetter } from '../model/object-store.ts'
import { objectSlot, type Slot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import type { Accounts } from './accounts.ts'
import type { BucketEntry } from './bucket-entry.ts'
import { decodeChangeSince } from './change-entry.ts'
import type { IndexBatch, WrittenChange } from './index-batch.ts'
import { blobKey, changeKey, deadLetterKey, objectKey, remoteKey, tombstoneKey } from './keys.ts'
import type { PlaceFacts } from './ledger-state.ts'
import { decodeLetterEntry, encodeLetterEntry } from './letter-entry.ts'
import type { PlacedBlob } from './records.ts'
import { encodeRemoteEntry, type RemoteEntry } from './remote-entry.ts'
import {
  type BlobRef,
  encodeLiveEntry,
  encodeTombstone,
  type LiveEntry,
  type SlotEntry,
  type TombstoneEntry,
} from './slot-entry.ts'
import { decodeExtents, encodeExtents } from './small-entries.ts'

export interface EffectContext {
  readonly batch: IndexBatch
  readonly accounts: Accounts
  /** Seqs on the wire now: a place that is being shipped does not pass its age on. */
  readonly launched: { has(seq: number): boolean }
  /** Wall ms. */
  readonly now: number
}

/** Of recovery and of what else changes the index before anything is shipped. */
export const nothingLaunched: EffectContext['launched'] = { has: () => false }

interface SlotChange {
  readonly bucket: string
  readonly key: string
  readonly previous: SlotEntry | undefined
  readonly next: SlotEntry
  /** Blobs that `next` brings into the index; those it shares with `previous` are not among them. */
  readonly newBlobs: readonly PlacedBlob[]
  /** The same in bytes, where they are at hand: they need not be made again. */
  readonly written?: WrittenChange
}

/** A put or delete took effect on its slot. */
export function replaceSlot(context: EffectContext, change: SlotChange): void {
  const { batch, accounts } = context
  const { bucket, key, previous, next } = change
  writeSlotEntry(context, change)
  assert(next.location !== undefined, 'effects follow the log')
  accounts.recordLives(next.location)
  for (const blob of change.newBlobs) blobLives(context, blob)
  if (previous !== undefined) dropEntryBytes(context, previous)
  const since = previous === undefined ? context.now : inheritedSince(context, previous.seq)
  const slot = objectSlot(bucket, key)
  if (previous !== undefined) dropPlace(context, slot, previous)
  const bytes = bytesOf(next)
  batch.addPlace({ seq: next.seq, slot, version: next.version, bytes, since }, change.written)
  accounts.placeAdded({ seq: next.seq, slot, bytes, removes: next.kind === 'tombstone' })
  accounts.countObject(bucket, {
    objects: Number(next.kind === 'live') - Number(previous?.kind === 'live'),
    bytes: bytes - (previous === undefined ? 0 : bytesOf(previous)),
  })
  const origin = originOf(key, next.version)
  accounts.sawVersion(bucket, origin)
  // A copy goes on where the write that it keeps has left off.
  if (origin !== next.version) accounts.placeMoved(next.seq)
}

/** The winner's context was widened: same version, same bytes, a new place in the feed. */
export function joinSlot(
  context: EffectContext,
  change: {
    readonly bucket: string
    readonly key: string
    readonly previous: LiveEntry
    readonly next: LiveEntry
  },
): void {
  const { batch, accounts } = context
  const { bucket, key, previous, next } = change
  batch.put(objectKey(bucket, key), encodeLiveEntry(next))
  assert(next.joinLocation !== undefined, 'effects follow the log')
  accounts.recordLives(next.joinLocation)
  if (previous.joinLocation !== undefined) accounts.recordDies(previous.joinLocation)
  const since = inheritedSince(context, previous.seq)
  const slot = objectSlot(bucket, key)
  dropPlace(context, slot, previous)
  const bytes = bytesOf(next)
  batch.addPlace({ seq: next.seq, slot, version: next.version, bytes, since })
  accounts.placeAdded({ seq: next.seq, slot, bytes, removes: false })
  accounts.placeMoved(next.seq)
}

/** The sweep behind a purge takes an object out. */
export function removeSwept(
  context: EffectContext,
  swept: { readonly bucket: string; readonly key: string; readonly entry: LiveEntry },
): void {
  context.batch.del(objectKey(swept.bucket, swept.key))
  dropEntryBytes(context, swept.entry)
  dropPlace(context, objectSlot(swept.bucket, swept.key), swept.entry)
  context.accounts.countObject(swept.bucket, { objects: -1, bytes: -bytesOf(swept.entry) })
}

/** What had taken the place of a deletion is gone, and the deletion with it. */
export function removeTombstone(
  context: EffectContext,
  gone: { readonly bucket: string; readonly key: string; readonly entry: TombstoneEntry },
): void {
  const { bucket, key, entry } = gone
  context.batch.del(tombstoneKey(bucket, key))
  dropEntryBytes(context, entry)
  dropPlace(context, objectSlot(bucket, key), entry)
}

/** A bucket was created or deleted; merging keeps the higher of each. */
export function mergeBucket(
  context: EffectContext,
  change: { readonly mutation: BucketMutation; readonly seq: number; readonly location: Location },
): void {
  const { accounts } = context
  const { mutation, seq, location } = change
  const { bucket } = mutation.slot
  const entry = accounts.bucket(bucket)
  takeRegisterPlace(
    context,
    { slot: mutation.slot, version: mutation.version, seq, location },
    entry.register,
  )
  accounts.updateBucket(bucket, {
    ...mergeRegisters(entry, mutation),
    register: { seq, location },
  })
  accounts.sawVersion(bucket, mutation.version)
}

/** A purge raises the floor; the space is swept in the background. */
export function raiseFloor(
  context: EffectContext,
  change: {
    readonly mutation: PurgeMutation
    readonly seq: number
    readonly location: Location
    /** How far it was swept before. */
    readonly swept: Version | undefined
  },
): void {
  const { accounts, batch } = context
  batch.raisesFloor = true
  const { mutation, seq, location, swept } = change
  const { bucket } = mutation.slot
  const entry = accounts.bucket(bucket)
  const hidden = hiddenBy(context, mutation.slot, entry)
  takeRegisterPlace(
    context,
    { slot: mutation.slot, version: mutation.version, seq, location, objects: hidden },
    entry.floorPlace && { ...entry.floorPlace, objects: entry.hidden ?? 0 },
  )
  accounts.updateBucket(bucket, {
    floor: mutation.version,
    floorContext: mutation.context,
    floorPlace: { seq, location },
    swept,
    hidden,
    sweeping: entry.objectCount > 0,
  })
  accounts.sawVersion(bucket, mutation.version)
}

/** What a further purge hides, with what remotes have not heard of the one before. */
function hiddenBy({ accounts }: EffectContext, slot: Slot, entry: BucketEntry): number {
  const { floorPlace, objectCount, sweeping, hidden = 0 } = entry
  if (floorPlace === undefined || hidden === 0) return objectCount
  const before = { seq: floorPlace.seq, slot, removes: true }
  const isAwaited = [...accounts.ledgers.values()].some(
    (ledger) => ledger.isPending(before.seq) || ledger.isHeld(before),
  )
  if (!isAwaited) return objectCount
  // While the sweep is under way the counters still have some of what the purge before has hidden.
  return sweeping ? Math.max(hidden, objectCount) : hidden + objectCount
}

/** A remote refused the change at a place: the place is done, the letter stays. */
export function buryLetter(
  context: EffectContext,
  burial: { readonly remote: string; readonly letter: DeadLetter; readonly location: Location },
): void {
  const { remote, letter, location } = burial
  const ledger = context.accounts.ledger(remote)
  if (ledger?.finish(letter.seq, letter.bytes, 'failed') !== true) return
  ledger.openLetters++
  context.accounts.ledgerChanged(remote)
  context.accounts.recordLives(location)
  context.batch.putReadable(
    deadLetterKey(remote, letter.seq),
    encodeLetterEntry({ letter, location }),
  )
}

/**
 * The letter is moot: a newer mutation took the place, it is queued again, or it was discarded.
 *
 * @returns false when there was none
 */
export function closeLetter(context: EffectContext, remote: string, seq: number): boolean {
  const ledger = context.accounts.ledger(remote)
  if (ledger === undefined || ledger.openLetters === 0) return false
  const key = deadLetterKey(remote, seq)
  const entry = context.batch.read(key)
  if (entry === undefined) return false
  context.batch.delReadable(key)
  context.accounts.recordDies(decodeLetterEntry(entry).location)
  ledger.openLetters--
  context.accounts.ledgerChanged(remote)
  return true
}

/** A remote that is gone leaves no letters behind. */
export function dropLetter(context: EffectContext, remote: string, seq: number): void {
  const key = deadLetterKey(remote, seq)
  const entry = context.batch.read(key)
  if (entry === undefined) return
  context.batch.delReadable(key)
  context.accounts.recordDies(decodeLetterEntry(entry).location)
}

/** Where this site ships to was changed: the highest revision holds. */
export function remoteChanged(context: EffectContext, entry: RemoteEntry): void {
  const { accounts, batch } = context
  const { name, revision } = entry.record
  const previous = accounts.remote(name)
  if (previous !== undefined && previous.record.revision >= revision) return
  if (previous !== undefined) accounts.recordDies(previous.location)
  accounts.recordLives(entry.location)
  batch.put(remoteKey(name), encodeRemoteEntry(entry))
  accounts.setRemote(entry)
}

/** Does nothing when the index has the blob: an upload's parts are there before its put. */
export function blobLives(context: EffectContext, blob: PlacedBlob): void {
  if (context.batch.read(blobKey(blob.id)) !== undefined) return
  context.batch.putReadable(blobKey(blob.id), encodeExtents(blob.extents))
  for (const extent of blob.extents) context.accounts.recordLives(extent)
}

export function blobDies(context: EffectContext, blob: BlobRef): void {
  const key = blobKey(blob.id)
  const extents = context.batch.read(key)
  assert(extents !== undefined, `the extents of blob ${blob.id} are in the index`)
  for (const extent of decodeExtents(extents)) context.accounts.recordDies(extent)
  context.batch.delReadable(key)
}

function bytesOf(entry: SlotEntry): number {
  return entry.kind === 'live' ? entry.meta.size : 0
}

function writeSlotEntry({ batch }: EffectContext, change: SlotChange): void {
  const { bucket, key, previous, next, written } = change
  if (next.kind === 'live') {
    batch.put(objectKey(bucket, key), encodeLiveEntry(next, written?.encoded.head))
  } else batch.put(tombstoneKey(bucket, key), encodeTombstone(next))
  if (previous === undefined || previous.kind === next.kind) return
  batch.del(previous.kind === 'live' ? objectKey(bucket, key) : tombstoneKey(bucket, key))
}

function dropEntryBytes(context: EffectContext, entry: SlotEntry): void {
  assert(entry.location !== undefined, 'what is replaced was logged before')
  context.accounts.recordDies(entry.location)
  if (entry.kind !== 'live') return
  if (entry.joinLocation !== undefined) context.accounts.recordDies(entry.joinLocation)
  if (entry.body.kind === 'blobs') for (const blob of entry.body.blobs) blobDies(context, blob)
}

function dropPlace(context: EffectContext, slot: Slot, entry: SlotEntry): void {
  const removes = entry.kind === 'tombstone'
  removePlace(context, { seq: entry.seq, slot, bytes: bytesOf(entry), removes })
}

function removePlace(context: EffectContext, place: PlaceFacts): void {
  for (const remote of context.accounts.ledgers.keys()) closeLetter(context, remote, place.seq)
  context.batch.removePlace(place.seq)
  context.accounts.placeRemoved(place)
}

/** A place that moves before it was shipped keeps its age: lag is measured from the oldest unshipped change. */
function inheritedSince(context: EffectContext, previousSeq: number): number {
  const { accounts, batch, launched, now } = context
  if (launched.has(previousSeq)) return now
  for (const ledger of accounts.ledgers.values()) {
    if (!ledger.isPending(previousSeq)) continue
    const place = batch.read(changeKey(previousSeq))
    return place === undefined ? now : Math.min(now, decodeChangeSince(place))
  }
  return now
}

interface RegisterChange {
  readonly slot: Slot
  readonly version: Version
  readonly seq: number
  readonly location: Location
  /** Of a purge: what it hides. */
  readonly objects?: number
}

function takeRegisterPlace(
  context: EffectContext,
  change: RegisterChange,
  previous: Pick<RegisterChange, 'seq' | 'location' | 'objects'> | undefined,
): void {
  const { batch, accounts, now } = context
  const { slot, version, seq, location } = change
  const removes = slot.kind === 'floor'
  const since = previous === undefined ? now : inheritedSince(context, previous.seq)
  if (previous !== undefined) {
    accounts.recordDies(previous.location)
    const { objects = 1 } = previous
    removePlace(context, { seq: previous.seq, slot, bytes: 0, removes, objects })
  }
  accounts.recordLives(location)
  batch.addPlace({ seq, slot, version, bytes: 0, since })
  accounts.placeAdded({ seq, slot, bytes: 0, removes })
}
