/**
 * A damaged log for an index that is built anew. Behind damage replay goes on; of a record that is lost, the list of
 * its segment may still tell kind, slot, version and seq. A deletion and a purge are no more than that, but
 * for what their author had seen, and take effect; a put takes out what it had replaced, so that nobody
 * is given what is older. In the end it is known which of the lost ones had been replaced anyway.
 */
import { assert } from '../../base/assert.ts'
import type {
  DamagedExtent,
  ListedRecord,
  LogPosition,
  ReplayedRecord,
  Volume,
} from '../../volume/volume.ts'
import { isSeenHere } from '../conflicts/losers.ts'
import { decodeLabel } from '../model/mutation.ts'
import type { ObjectSlot, Slot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import { nothingLaunched, remoteChanged, removeTombstone } from '../tables/effects.ts'
import { IndexBatch } from '../tables/index-batch.ts'
import { objectKey, tombstoneKey } from '../tables/keys.ts'
import { isSame } from '../tables/moved-records.ts'
import { decodeRecord, recordKinds, type StoreRecord } from '../tables/records.ts'
import { decodeLiveEntry, decodeTombstone, type SlotEntry } from '../tables/slot-entry.ts'
import type { RecoveredParts } from './recovered-parts.ts'
import type { GuessedRecord, LostPut, ReplayLog } from './recovery.ts'

/** Of records that are lost and may matter, so many are told apart; the rest is counted as lost. */
const lostMax = 100_000
/** A context that names nobody, as the log has it. */
const nothingSeen = Buffer.of(0)

export type LossKind = 'put' | 'delete' | 'purge' | 'bucket' | 'join' | 'remote' | 'conflict'

/** Something that the log said and does not say any more. */
export interface Loss {
  readonly segment: number
  readonly generation: number
  readonly offset: number
  /** Undefined where not even that is known: then it is all that stood from `offset` to `end`. */
  readonly kind: LossKind | undefined
  readonly end: number
  readonly mismatch: string
  readonly seq: number | undefined
  readonly bucket: string | undefined
  /** Of a remote, its name. */
  readonly key: string | undefined
  /** `kept`: it took effect all the same, though what its author had seen is not known any more. */
  readonly outcome: 'lost' | 'kept'
}

export interface LogDamage {
  /** Places in which the log is damaged. */
  readonly places: number
  /** Lost records that nothing needs: replaced, purged, or begun anew with every new index. */
  readonly harmless: number
  readonly losses: readonly Loss[]
  /** Lost ones beyond those that are listed. */
  readonly unlisted: number
}

/** What an index that was there before says of the log. */
export interface KnownLog {
  /** It went so far at least. */
  readonly checkpoint: LogPosition | undefined
  /** The last seq given. */
  readonly head: number
}

interface LostRecord {
  readonly record: ListedRecord
  readonly mismatch: string
  /** How many records of the log came before. */
  readonly at: number
}

export class SalvagedLog implements ReplayLog {
  readonly passesUnreadable = true
  readonly #volume: Pick<Volume, 'salvage' | 'readRecord' | 'identity'>
  readonly #checkpoint: LogPosition | undefined
  readonly #lost: LostRecord[] = []
  /** Those of puts and joins, by bucket, that no purge has hidden so far. */
  readonly #unpurged = new Map<string, Set<LostRecord>>()
  readonly #losses: Loss[] = []
  /** How many records came before the last one of a remote, and before the end of a conflict. */
  readonly #remoteAt = new Map<string, number>()
  readonly #resolvedAt = new Map<string, number>()
  #records = 0
  #places = 0
  #harmless = 0
  #unlisted = 0
  /** No seq above it can have been given, whatever is lost. */
  #highestSeq: number

  constructor(volume: Pick<Volume, 'salvage' | 'readRecord' | 'identity'>, known?: KnownLog) {
    this.#volume = volume
    this.#checkpoint = known?.checkpoint
    this.#highestSeq = known?.head ?? 0
  }

  async *replay(): AsyncGenerator<ReplayedRecord | GuessedRecord | LostPut> {
    for await (const found of this.#volume.salvage(this.#checkpoint)) {
      if (!('isAccounted' in found)) yield this.#passed(found)
      else yield* this.#damaged(found)
    }
  }

  readRecord(...args: Parameters<ReplayLog['readRecord']>): ReturnType<ReplayLog['readRecord']> {
    return this.#volume.readRecord(...args)
  }

  /** What became of it, once the whole log is in the index. What must not come back is taken out. */
  async judge({ index, accounts }: RecoveredParts): Promise<LogDamage> {
    const batch = new IndexBatch(index)
    const view = { index, accounts, batch }
    for (const lost of this.#lost) {
      if (this.#isHarmless(lost, view)) {
        this.#harmless++
        if (lost.record.kind === recordKinds.put) dropReplaced(lost.record, view)
      } else {
        this.#losses.push(lossOf(lost))
        if (lost.record.kind === recordKinds.remote) dropRemote(lost.record, view)
      }
    }
    accounts.raiseSeq(this.#highestSeq)
    accounts.flush(batch)
    await index.write(batch.operations)
    this.#losses.sort((a, b) => a.generation - b.generation || a.offset - b.offset)
    const losses = this.#losses
    return { places: this.#places, harmless: this.#harmless, losses, unlisted: this.#unlisted }
  }

  #passed(record: ReplayedRecord): ReplayedRecord {
    this.#records++
    const { kind, label } = record
    if (kind === recordKinds.remote) this.#remoteAt.set(label.toString(), this.#records)
    if (kind === recordKinds.resolved) this.#resolvedAt.set(label.toString('hex'), this.#records)
    if (kind === recordKinds.purge) this.#purged(record)
    return record
  }

  /** As it sweeps what its author had seen: what nobody had seen might have been kept. */
  #purged(record: ReplayedRecord): void {
    const { kind, mutation } = decodeRecord(record, undefined) as StoreRecord & { kind: 'purge' }
    assert(kind === 'purge' && mutation.kind === 'purge', 'a purge decodes to a purge')
    const { version, context, slot } = mutation
    const floor = { version, context, seq: record.seq, swept: undefined }
    const unpurged = this.#unpurged.get(slot.bucket) ?? new Set()
    for (const lost of unpurged) {
      const { slot: lostSlot, version: lostVersion } = decodeLabel(lost.record.label)
      if (lostSlot.kind !== 'object' || lostVersion > version) continue
      const entry = { seq: lost.record.seq, version: lostVersion }
      const { siteId } = this.#volume.identity
      if (isSeenHere(siteId, floor, { key: lostSlot.key, entry })) unpurged.delete(lost)
    }
  }

  *#damaged(extent: DamagedExtent): Generator<ReplayedRecord | GuessedRecord | LostPut> {
    const { segment, generation, offset, end, mismatch, records, lost } = extent
    this.#places++
    this.#highestSeq = Math.max(this.#highestSeq, extent.highestSeq)
    if (!extent.isAccounted) {
      const unknown = { kind: undefined, seq: undefined, bucket: undefined, key: undefined }
      const place = { segment, generation, offset, end, mismatch }
      this.#losses.push({ ...place, ...unknown, outcome: 'lost' })
    }
    const groupEnd = { segment, generation, offset: end }
    const lostOnes = new Set(lost)
    const all = [...records, ...lost].sort((a, b) => a.location.offset - b.location.offset)
    for (const record of all) {
      if (!lostOnes.has(record)) yield this.#passed(record as ReplayedRecord)
      else yield* this.#missed({ record, mismatch, at: this.#records }, groupEnd)
    }
  }

  *#missed(
    lost: LostRecord,
    groupEnd: ReplayedRecord['groupEnd'],
  ): Generator<ReplayedRecord | GuessedRecord | LostPut> {
    const { kind, seq, label: bytes, location } = lost.record
    const { upload, part, abort, deadletter, resolved } = recordKinds
    // Every new index begins these anew, or lists them once more.
    if ([upload, part, abort, deadletter, resolved].some((one) => one === kind)) {
      this.#harmless++
      return
    }
    this.#remember(lost)
    const label = Buffer.from(bytes)
    if (kind === recordKinds.delete || kind === recordKinds.purge) {
      const guessed = { kind, seq, label, head: nothingSeen, location, groupEnd }
      yield { ...this.#passed(guessed), isGuessed: true }
    } else if (kind === recordKinds.put) {
      const { slot } = decodeLabel(label)
      if (slot.kind === 'object') yield { lostPut: slot, seq, groupEnd }
    }
  }

  #remember(lost: LostRecord): void {
    if (this.#lost.length === lostMax) {
      this.#unlisted++
      return
    }
    this.#lost.push(lost)
    const { kind, label } = lost.record
    if (kind !== recordKinds.put && kind !== recordKinds.join) return
    const { bucket } = decodeLabel(label).slot
    const unpurged = this.#unpurged.get(bucket) ?? new Set()
    this.#unpurged.set(bucket, unpurged.add(lost))
  }

  #isHarmless(lost: LostRecord, view: View): boolean {
    const { record, at } = lost
    const { kind, label, seq, location } = record
    if (kind === recordKinds.remote) return this.#isFollowed(lost)
    if (kind === recordKinds.conflict) {
      return (this.#resolvedAt.get(Buffer.from(label).toString('hex')) ?? 0) > at
    }
    const { slot, version } = decodeLabel(label)
    const { register, floorPlace } = view.accounts.bucket(slot.bucket)
    const now =
      slot.kind === 'object' ? entryOf(slot, view) : slot.kind === 'floor' ? floorPlace : register
    if (now !== undefined && now.seq > seq) return true
    if (now?.seq === seq && !isSame(now.location, location)) return true
    // It took effect, and what came behind it was purged.
    if (kind === recordKinds.delete) return now === undefined || isUnder(version, slot, view)
    const { swept } = view.accounts.bucket(slot.bucket)
    if (swept !== undefined && version <= swept) return true
    return slot.kind === 'object' && this.#unpurged.get(slot.bucket)?.has(lost) !== true
  }

  /** Each record of a remote holds all of it. */
  #isFollowed({ record, at }: LostRecord): boolean {
    return (this.#remoteAt.get(Buffer.from(record.label).toString()) ?? 0) > at
  }
}

/**
 * What it was last is not known: it may have been removed, and must not be shipped to then. Its revision is
 * one more than that of the record before it, so this takes the place of what is lost.
 */
function dropRemote({ label, location }: ListedRecord, { batch, accounts }: View): void {
  const previous = accounts.remote(Buffer.from(label).toString())?.record
  if (previous === undefined || previous.state === 'removed') return
  const record = { ...previous, revision: previous.revision + 1, state: 'removed' } as const
  const context = { batch, accounts, launched: nothingLaunched, now: 0 }
  remoteChanged(context, { record, location })
}

/** A put that was purged had taken the place of a deletion. */
function dropReplaced({ label, seq }: ListedRecord, view: View): void {
  const { slot } = decodeLabel(label)
  if (slot.kind !== 'object') return
  const { bucket, key } = slot
  const stored = view.batch.read(tombstoneKey(bucket, key))
  const entry = stored === undefined ? undefined : decodeTombstone(stored)
  if (entry === undefined || entry.seq > seq) return
  const { batch, accounts } = view
  removeTombstone({ batch, accounts, launched: nothingLaunched, now: 0 }, { bucket, key, entry })
  batch.overlay(tombstoneKey(bucket, key), undefined)
}

interface View extends Pick<RecoveredParts, 'index' | 'accounts'> {
  readonly batch: IndexBatch
}

function entryOf({ bucket, key }: ObjectSlot, { index }: View): SlotEntry | undefined {
  const live = index.get(objectKey(bucket, key))
  if (live !== undefined) return decodeLiveEntry(live)
  const tombstone = index.get(tombstoneKey(bucket, key))
  return tombstone === undefined ? undefined : decodeTombstone(tombstone)
}

/** A floor hides it, and so does what it had hidden. */
function isUnder(version: Version, { bucket }: Slot, { accounts }: View): boolean {
  const { floor } = accounts.bucket(bucket)
  return floor !== undefined && version <= floor
}

function lossOf({ record, mismatch }: LostRecord): Loss {
  const { segment, generation, offset, headLength, bodyLength } = record.location
  const kind = kindOf(record.kind)
  const isRemote = kind === 'remote'
  const slot: Slot | undefined = isRemote ? undefined : decodeLabel(record.label).slot
  return {
    ...{ segment, generation, offset, end: offset + headLength + bodyLength, kind, mismatch },
    seq: record.seq === 0 ? undefined : record.seq,
    bucket: slot?.bucket,
    key: isRemote ? Buffer.from(record.label).toString() : slotKey(slot),
    outcome: kind === 'delete' || kind === 'purge' ? 'kept' : 'lost',
  }
}

const slotKey = (slot: Slot | undefined): string | undefined =>
  slot?.kind === 'object' ? slot.key : undefined

function kindOf(number: number): LossKind | undefined {
  const kinds = ['put', 'delete', 'purge', 'bucket', 'join', 'remote', 'conflict'] as const
  return kinds.find((kind) => recordKinds[kind] === number)
}
