/**
 * Brings the index up to the log: replays everything behind the checkpoint through the very effects
 * of the live path. With an empty index that is the whole log, which rebuilds it. Records decide by
 * seq, so replaying what is already there changes nothing.
 *
 * It promises the index that would have been there. It must never write to the log.
 */
import { assert } from '../../base/assert.ts'
import type { Logger } from '../../base/log.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { CorruptRecordError } from '../../volume/format/errors.ts'
import type { Location, LogPosition, ReplayedRecord, StoredRecord } from '../../volume/volume.ts'
import type { Conflicts } from '../conflicts/conflicts.ts'
import type { Uploads } from '../intake/uploads.ts'
import { CorruptIndexError } from '../model/errors.ts'
import type { ObjectSlot, Slot } from '../model/slot.ts'
import type { SiteId, Version, VersionClock } from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import {
  buryLetter,
  closeLetter,
  type EffectContext,
  joinSlot,
  mergeBucket,
  nothingLaunched,
  raiseFloor,
  remoteChanged,
  removeSwept,
  replaceSlot,
} from '../tables/effects.ts'
import { IndexBatch } from '../tables/index-batch.ts'
import { chunksUnplacedKey, objectKey, tombstoneKey } from '../tables/keys.ts'
import {
  bucketRecordMoved,
  entryAfterMove,
  entryWithBlobs,
  letterMoved,
  putRewritten,
  type RecordCopy,
  remoteRecordMoved,
  slotRecordMoved,
} from '../tables/moved-records.ts'
import {
  decodeRecord,
  needsBody,
  noBlobs,
  type PlacedBlob,
  recordKinds,
  type StoreRecord,
} from '../tables/records.ts'
import {
  encodeLiveEntry,
  encodeTombstone,
  type LiveEntry,
  type SlotEntry,
} from '../tables/slot-entry.ts'
import { readSlot } from '../write/current-slot.ts'
import { sweepSeen } from './sweep-seen.ts'

/** All that is left of a put. */
export interface LostPut {
  readonly lostPut: ObjectSlot
  readonly seq: number
  readonly groupEnd: LogPosition
}

/** A record of which only the label is known: what its author had seen is not. */
export interface GuessedRecord extends ReplayedRecord {
  readonly isGuessed: true
}

interface RecordPlace {
  readonly seq: number
  readonly location: Location
  readonly isGuessed?: true
}

export interface ReplayLog {
  /** What the disk refuses to read is taken for damaged. Otherwise it may be there at the next start. */
  readonly passesUnreadable?: boolean
  replay(from: LogPosition | undefined): AsyncIterable<ReplayedRecord | GuessedRecord | LostPut>
  readRecord(
    location: Location,
    expect: { readonly seq: number },
  ): Promise<StoredRecord & { readonly body: Buffer }>
}

export interface RecoveryOptions {
  readonly log: ReplayLog
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly uploads: Uploads
  readonly conflicts: Conflicts
  readonly versions: VersionClock
  readonly siteId: SiteId
  readonly logger: Logger
  /** Wall ms: the time from which replayed places wait. */
  readonly now: number
}

const recordsPerBatch = 2000

/** @returns how many records were replayed */
export async function recover(options: RecoveryOptions): Promise<number> {
  const replay = new Replay(options)
  let replayed = 0
  let groupEnd: LogPosition | undefined
  for await (const record of options.log.replay(options.accounts.state.checkpoint)) {
    if (groupEnd !== undefined && !samePosition(groupEnd, record.groupEnd)) {
      await replay.groupDone(groupEnd)
    }
    groupEnd = record.groupEnd
    if ('lostPut' in record) {
      replay.lose(record.lostPut, record.seq)
      continue
    }
    const decoded = await decodeStored(record, options.log)
    if (decoded.kind === 'purge') await replay.beforePurge(decoded.mutation.slot.bucket)
    replay.apply(decoded, record)
    replayed++
  }
  if (groupEnd !== undefined) await replay.groupDone(groupEnd)
  await replay.flush()
  const { version } = options.accounts.state
  if (version !== undefined) options.versions.observe(version)
  return replayed
}

/**
 * A damaged list of chunks is an object without its bytes: whoever reads it is told, and it can be healed. An
 * upload without one of its parts begins anew.
 */
async function decodeStored(record: ReplayedRecord, log: ReplayLog): Promise<StoreRecord> {
  if (!needsBody(record)) return decodeRecord(record, undefined)
  try {
    const { body } = await log.readRecord(record.location, { seq: record.seq })
    return decodeRecord(record, body)
  } catch (thrown) {
    if (!(thrown instanceof CorruptRecordError)) throw thrown
    if (thrown.cause !== undefined && !log.passesUnreadable) throw thrown
    if (record.kind === recordKinds.part) return { kind: 'abort', label: record.label }
    // How far a purge was swept is not known any more: it is looked at once more.
    return decodeRecord(record, record.kind === recordKinds.purge ? undefined : noBlobs)
  }
}

class Replay {
  readonly #options: RecoveryOptions
  readonly #isBuiltAnew: boolean
  #batch: IndexBatch
  #records = 0

  constructor(options: RecoveryOptions) {
    this.#options = options
    this.#isBuiltAnew = options.index.get(chunksUnplacedKey) !== undefined
    this.#batch = new IndexBatch(options.index)
  }

  async groupDone(end: LogPosition): Promise<void> {
    this.#options.accounts.checkpointAt(end)
    if (this.#records >= recordsPerBatch) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#records === 0) return
    this.#options.accounts.flush(this.#batch)
    await this.#options.index.write(this.#batch.operations)
    this.#batch = new IndexBatch(this.#options.index)
    this.#records = 0
  }

  /**
   * The purge before is swept by now, or was when this one was made, as far as its author had seen what it
   * hid: the next floor does not know that any more, and would have it kept as a conflict's loser.
   */
  async beforePurge(bucket: string): Promise<void> {
    const { index, accounts, siteId, now } = this.#options
    if (!accounts.bucket(bucket).sweeping) return
    await this.flush()
    await sweepSeen(bucket, { index, accounts, siteId, now })
  }

  apply(record: StoreRecord, at: RecordPlace): void {
    this.#records++
    const context = this.#context()
    switch (record.kind) {
      case 'put':
        this.#replayPut(record, at)
        break
      case 'delete':
        this.#replayDelete(record, at)
        break
      case 'join':
        this.#replayJoin(record, at)
        break
      case 'purge': {
        const { mutation, swept } = record
        const { bucket } = mutation.slot
        const { floorPlace } = context.accounts.bucket(bucket)
        if (floorPlace !== undefined && floorPlace.seq >= at.seq) {
          if (at.isGuessed) break
          bucketRecordMoved(context, { bucket, place: 'floorPlace', ...at, swept })
          // It is the same, unless that of the one before it was not known.
          const { context: floorContext } = mutation
          if (floorPlace.seq === at.seq) context.accounts.updateBucket(bucket, { floorContext })
          break
        }
        raiseFloor(context, { mutation, ...at, swept })
        this.#overtake(mutation.slot, mutation.version)
        break
      }
      case 'bucket': {
        const { mutation } = record
        assert(mutation.kind === 'bucket', 'a bucket record holds a bucket change')
        const { register } = context.accounts.bucket(mutation.slot.bucket)
        if (register !== undefined && register.seq >= at.seq) {
          bucketRecordMoved(context, { bucket: mutation.slot.bucket, place: 'register', ...at })
          break
        }
        mergeBucket(context, { mutation, seq: at.seq, location: at.location })
        break
      }
      case 'upload':
        this.#options.uploads.began(context, record.label, at.location)
        break
      case 'part':
        this.#options.uploads.gotPart(context, record.label, {
          part: record.part,
          location: at.location,
        })
        break
      case 'abort':
        this.#options.uploads.aborted(context, record.label)
        break
      case 'conflict':
        this.#options.conflicts.replayed(context, record.conflict, at.location)
        break
      case 'resolved':
        this.#options.conflicts.resolved(context, record.conflict)
        break
      case 'deadletter':
        this.#replayLetter(record, at.location)
        break
      case 'remote':
        remoteRecordMoved(context, { record: record.record, location: at.location })
        remoteChanged(context, { record: record.record, location: at.location })
        break
    }
  }

  /**
   * A copy may stand behind the end of its letter, which is in the index alone where it was queued again.
   * Where there was no index, the copy may be all that is left of the letter.
   */
  #replayLetter(record: StoreRecord & { kind: 'deadletter' }, location: Location): void {
    const context = this.#context()
    const { remote, letter, state } = record
    const { seq } = letter
    if (state === 'discarded') closeLetter(context, remote, seq)
    else if (state === 'buried') buryLetter(context, { remote, letter, location })
    else if (!letterMoved(context, { remote, seq, location }) && this.#isBuiltAnew) {
      buryLetter(context, { remote, letter, location })
    }
  }

  /** What it had replaced is older than what was there, and is not shown in its place. */
  lose(slot: ObjectSlot, seq: number): void {
    this.#records++
    const entry = this.#read(slot)
    if (entry?.kind !== 'live' || entry.seq >= seq) return
    removeSwept(this.#context(), { bucket: slot.bucket, key: slot.key, entry })
    const key = objectKey(slot.bucket, slot.key)
    this.#batch.overlay(key, undefined)
  }

  #replayPut(
    record: StoreRecord & { kind: 'put' },
    { seq, location }: { seq: number; location: Location },
  ): void {
    const { slot, version, context, meta } = record.mutation
    const previous = this.#read(slot)
    if (previous !== undefined && previous.seq >= seq) {
      this.#putMoved(slot, previous, { seq, location, blobs: record.blobs ?? [] })
      return
    }
    const next: LiveEntry = {
      kind: 'live',
      seq,
      version,
      context,
      meta,
      body:
        record.blobs === undefined
          ? { kind: 'inline' }
          : { kind: 'blobs', blobs: record.blobs.map(({ id, size }) => ({ id, size })) },
      location,
      recordSeq: seq,
      joinLocation: undefined,
    }
    this.#replace(slot, { previous, next, blobs: record.blobs ?? [] })
  }

  #replayDelete(
    record: StoreRecord & { kind: 'delete' | 'bucket' },
    { seq, location, isGuessed }: RecordPlace,
  ): void {
    const { mutation } = record
    assert(mutation.kind === 'delete', 'a delete record holds a delete')
    const previous = this.#read(mutation.slot)
    if (previous !== undefined && previous.seq >= seq) {
      if (isGuessed) return
      // It is the same, unless that of the one before it was not known.
      const known = previous.seq === seq ? { ...previous, context: mutation.context } : previous
      this.#moved(mutation.slot, known, { kind: 'delete', seq, location })
      return
    }
    const { version, context, slot } = mutation
    this.#replace(slot, {
      previous,
      next: { kind: 'tombstone', seq, version, context, location },
      blobs: [],
    })
    const { bucket, key } = slot
    this.#options.conflicts.deleted({
      bucket,
      key,
      version,
      seen: context,
      context: this.#context(),
    })
  }

  #replayJoin(
    record: StoreRecord & { kind: 'join' },
    { seq, location }: { seq: number; location: Location },
  ): void {
    if (record.slot.kind !== 'object') throw new CorruptIndexError('a join is about an object')
    const previous = this.#read(record.slot)
    if (previous !== undefined && previous.seq >= seq) {
      this.#moved(record.slot, previous, { kind: 'join', seq, location })
      return
    }
    // The put that it widened lay in a segment that is freed, since a newer one, still to come, took
    // its place, or it was moved together with this context.
    if (previous?.kind !== 'live' || previous.version !== record.version) return
    const next: LiveEntry = { ...previous, seq, context: record.context, joinLocation: location }
    joinSlot(this.#context(), { ...record.slot, previous, next })
    this.#remember(record.slot, next)
  }

  /** The index has the record already; a copy that follows in the log takes over. */
  #moved(slot: ObjectSlot, previous: SlotEntry, copy: RecordCopy): void {
    const next = entryAfterMove(previous, copy)
    if (next === undefined) return
    slotRecordMoved(this.#context(), { ...slot, previous, next })
    this.#remember(slot, next)
  }

  /** A copy with other blobs was made because the old ones were damaged. */
  #putMoved(
    slot: ObjectSlot,
    previous: SlotEntry,
    copy: { seq: number; location: Location; blobs: readonly PlacedBlob[] },
  ): void {
    const { seq, location, blobs } = copy
    const moved = entryAfterMove(previous, { kind: 'put', seq, location })
    const next = moved && entryWithBlobs(moved, blobs)
    if (next === undefined || previous.kind !== 'live') {
      this.#moved(slot, previous, { kind: 'put', seq, location })
      return
    }
    const { bucket, key } = slot
    putRewritten(this.#context(), { bucket, key, previous, next, blobs })
    this.#remember(slot, next)
  }

  #replace(
    slot: ObjectSlot,
    change: { previous: SlotEntry | undefined; next: SlotEntry; blobs: readonly PlacedBlob[] },
  ): void {
    const { previous, next, blobs } = change
    replaceSlot(this.#context(), {
      bucket: slot.bucket,
      key: slot.key,
      previous,
      next,
      newBlobs: blobs,
    })
    this.#remember(slot, next)
    this.#overtake(slot, next.version, blobs)
  }

  #overtake(slot: Slot, version: Version, blobs: readonly PlacedBlob[] = []): void {
    const { bucket } = slot
    const key = slot.kind === 'object' ? slot.key : undefined
    this.#options.uploads.overtaken({ bucket, key, version, blobs, context: this.#context() })
  }

  #read(slot: ObjectSlot): SlotEntry | undefined {
    return readSlot(slot, (key) => this.#batch.read(key))
  }

  /** Later records of the same batch must see it; the live path has its pending map for that. */
  #remember(slot: ObjectSlot, entry: SlotEntry): void {
    const live = objectKey(slot.bucket, slot.key)
    const tombstone = tombstoneKey(slot.bucket, slot.key)
    this.#batch.overlay(live, entry.kind === 'live' ? encodeLiveEntry(entry) : undefined)
    this.#batch.overlay(tombstone, entry.kind === 'tombstone' ? encodeTombstone(entry) : undefined)
  }

  #context(): EffectContext {
    const { accounts, now } = this.#options
    return { batch: this.#batch, accounts, launched: nothingLaunched, now }
  }
}

function samePosition(a: LogPosition, b: LogPosition): boolean {
  return a.segment === b.segment && a.generation === b.generation && a.offset === b.offset
}
