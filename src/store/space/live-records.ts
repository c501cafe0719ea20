/**
 * Which records of the log something refers to, and how to write one again at the log's end so that
 * the old copy is dead. What the index holds whole (deletes, joins, remotes, buckets, purges) is encoded
 * anew, puts are read. Those of uploads, dead letters and conflicts: `unplaced-records.ts`.
 */
import type { ListedRecord, Location, ReadRecord, RecordInput } from '../../volume/volume.ts'
import { registerVersion } from '../model/bucket-register.ts'
import { type BucketMutation, decodeLabel, encodeMutation } from '../model/mutation.ts'
import type { ObjectName } from '../model/object-store.ts'
import { type ObjectSlot, objectSlot } from '../model/slot.ts'
import type { Accounts } from '../tables/accounts.ts'
import type { BucketEntry } from '../tables/bucket-entry.ts'
import {
  bucketRecordMoved,
  entryAfterMove,
  isSame,
  type RecordCopy,
  remoteRecordMoved,
  slotRecordMoved,
} from '../tables/moved-records.ts'
import { copiedPut, joinRecord, plainRecord, recordKinds, remoteRecord } from '../tables/records.ts'
import type { LiveEntry, SlotEntry } from '../tables/slot-entry.ts'
import type { Sequencer } from '../write/sequencer.ts'
import { writeFloorAgain } from './swept-floor.ts'
import {
  type UnplacedOwner,
  UnplacedRecords,
  type UnplacedRecordsOptions,
} from './unplaced-records.ts'

interface SlotOwner {
  readonly kind: 'put' | 'delete' | 'join'
  readonly name: ObjectName
  readonly entry: SlotEntry
}

interface BucketOwner {
  readonly kind: 'register' | 'floorPlace'
  readonly bucket: string
}

/** What a live record is of. */
type RecordOwner =
  | (SlotOwner & { readonly kind: 'put'; readonly entry: LiveEntry })
  | (SlotOwner & { readonly kind: 'delete' | 'join' })
  | BucketOwner
  | { readonly kind: 'remote'; readonly remote: string }
  | UnplacedOwner

export interface LiveRecordsOptions extends UnplacedRecordsOptions {
  readonly reader: {
    readRecord(location: Location, expect: { readonly seq: number }): Promise<ReadRecord>
  }
  /** Whether what a purge hides in the bucket is there to stay for a while. */
  readonly waitsIn: (bucket: string) => boolean
}

export class LiveRecords {
  readonly #accounts: Accounts
  readonly #sequencer: Sequencer
  readonly #unplaced: UnplacedRecords
  readonly #reader: LiveRecordsOptions['reader']
  readonly #waitsIn: LiveRecordsOptions['waitsIn']

  constructor(options: LiveRecordsOptions) {
    this.#accounts = options.accounts
    this.#sequencer = options.sequencer
    this.#unplaced = new UnplacedRecords(options)
    this.#reader = options.reader
    this.#waitsIn = options.waitsIn
  }

  /** Undefined for a record that is dead, or about to die. */
  ownerOf(record: ListedRecord): RecordOwner | undefined {
    switch (record.kind) {
      case recordKinds.put:
      case recordKinds.delete:
      case recordKinds.join:
        return this.#slotOwner(record)
      case recordKinds.bucket:
        return this.#bucketOwner(record, 'register')
      case recordKinds.purge:
        return this.#bucketOwner(record, 'floorPlace')
      case recordKinds.remote: {
        const remote = Buffer.from(record.label).toString()
        const isOwn = isSame(this.#accounts.remote(remote)?.location, record.location)
        return isOwn ? { kind: 'remote', remote } : undefined
      }
      default:
        return this.#unplaced.ownerOf(record)
    }
  }

  /** What must be read before the record can be written again. */
  async bodyOf(record: ListedRecord): Promise<ReadRecord | undefined> {
    if (record.kind !== recordKinds.put) return undefined
    return await this.#reader.readRecord(record.location, { seq: record.seq })
  }

  /** Resolves when the copy is durable and indexed; at once when nobody refers to the record any more. */
  async move(record: ListedRecord, stored: ReadRecord | undefined): Promise<void> {
    const owner = this.ownerOf(record)
    switch (owner?.kind) {
      case undefined:
        return
      case 'upload':
      case 'part':
      case 'letter':
      case 'conflict':
        return this.#unplaced.move(owner)
      case 'put': {
        if (stored === undefined) return
        const { seq, version, context, meta } = owner.entry
        const slot = slotOf(owner.name)
        const encoded = encodeMutation({ kind: 'put', slot, version, context, meta })
        return this.#moveSlot(owner, copiedPut(stored, { seq, encoded }))
      }
      case 'delete': {
        const { seq, version, context } = owner.entry
        const slot = slotOf(owner.name)
        return this.#moveSlot(owner, plainRecord(seq, { kind: 'delete', slot, version, context }))
      }
      case 'join': {
        const { seq, version, context } = owner.entry
        return this.#moveSlot(
          owner,
          joinRecord(seq, { slot: slotOf(owner.name), version, context }),
        )
      }
      case 'register':
      case 'floorPlace':
        return this.#moveBucketRecord(owner)
      case 'remote':
        return this.#moveRemote(owner.remote)
    }
  }

  #slotOwner(record: ListedRecord): RecordOwner | undefined {
    const { slot } = decodeLabel(record.label)
    if (slot.kind !== 'object') return undefined
    const name = { bucket: slot.bucket, key: slot.key }
    // A write that is under way decides what becomes of the record.
    if (this.#sequencer.pendingOf(name) !== undefined) return undefined
    const { entry, live } = this.#sequencer.current(name)
    const { location } = record
    if (entry?.kind === 'tombstone') {
      return isSame(entry.location, location) ? { kind: 'delete', name, entry } : undefined
    }
    // What lies under a floor is about to be swept, unless it waits for room that moving it may make.
    const kept = live ?? (this.#waitsIn(name.bucket) ? entry : undefined)
    if (kept === undefined) return undefined
    if (isSame(kept.location, location)) return { kind: 'put', name, entry: kept }
    return isSame(kept.joinLocation, location) ? { kind: 'join', name, entry: kept } : undefined
  }

  #bucketOwner(record: ListedRecord, kind: 'register' | 'floorPlace'): RecordOwner | undefined {
    const { bucket } = decodeLabel(record.label).slot
    const place = this.#accounts.bucket(bucket)[kind]
    return isSame(place?.location, record.location) ? { kind, bucket } : undefined
  }

  /** Later writes see the slot as it will be: what they take the place of is the copy. */
  #moveSlot(owner: SlotOwner, record: RecordInput): Promise<void> {
    const { kind, name, entry: previous } = owner
    const copy: RecordCopy = { kind, seq: record.seq, location: undefined }
    const next = entryAfterMove(previous, copy)
    if (next === undefined) return Promise.resolve()
    return this.#sequencer.sequenceUnplaced(
      record,
      (context) => slotRecordMoved(context, { ...name, previous, next }),
      {
        cover: (done) => this.#sequencer.coverSlot(name, next, done),
        logged: (location) => {
          if (kind === 'join' && next.kind === 'live') next.joinLocation = location
          else next.location = location
        },
      },
    )
  }

  #moveBucketRecord({ kind: place, bucket }: BucketOwner): Promise<void> {
    const entry = this.#accounts.bucket(bucket)
    const seq = entry[place]?.seq
    if (seq === undefined) return Promise.resolve()
    if (place === 'floorPlace') return writeFloorAgain(this.#sequencer, { bucket, seq })
    const mutation = registerOf(bucket, entry)
    if (mutation === undefined) return Promise.resolve()
    return this.#sequencer.sequenceUnplaced(plainRecord(seq, mutation), (context, location) =>
      bucketRecordMoved(context, { bucket, place, seq, location }),
    )
  }

  #moveRemote(name: string): Promise<void> {
    const record = this.#accounts.remote(name)?.record
    if (record === undefined) return Promise.resolve()
    return this.#sequencer.sequenceUnplaced(remoteRecord(record), (context, location) =>
      remoteRecordMoved(context, { record, location }),
    )
  }
}

function slotOf({ bucket, key }: ObjectName): ObjectSlot {
  return objectSlot(bucket, key)
}

/** Each record of a bucket is its register as it was by then, so the last one is what the index has. */
function registerOf(bucket: string, entry: BucketEntry): BucketMutation | undefined {
  const version = registerVersion(entry)
  if (version === undefined) return undefined
  const { created, deleted, conflictPolicy } = entry
  return {
    kind: 'bucket',
    slot: { kind: 'bucket', bucket },
    version,
    created,
    deleted,
    conflictPolicy,
  }
}
