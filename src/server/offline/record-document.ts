/** A record of the log in words: what it is about, and what it says. */
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import { isoTime } from '../../base/iso-time.ts'
import {
  decodeLabel,
  type Mutation,
  type ObjectMeta,
  type PutMutation,
} from '../../store/model/mutation.ts'
import type { ConflictSide } from '../../store/model/object-store.ts'
import type { Slot } from '../../store/model/slot.ts'
import {
  decodeChunkLabel,
  decodeRecord,
  type PlacedBlob,
  recordKinds,
  type StoreRecord,
} from '../../store/tables/records.ts'
import type { StoredRecord } from '../../volume/volume.ts'

export type RecordKindName = keyof typeof recordKinds

export const recordKindNames = Object.keys(recordKinds) as readonly RecordKindName[]

/** Fields by name, in the form of JSON. */
export interface RecordDocument {
  /** `kind 200` for one that this program does not know. */
  readonly kind: RecordKindName | `kind ${number}`
  readonly bucket?: string
  readonly key?: string
  readonly version?: string
  /** Bytes of the object. */
  readonly size?: number
  /** Of a chunk or a part. */
  readonly blob?: string
  readonly [field: string]: unknown
}

function kindNameOf(kind: number): RecordDocument['kind'] {
  return recordKindNames.find((name) => recordKinds[name] === kind) ?? `kind ${kind}`
}

/** @param body where `needsBody` says so */
export function recordDocument(record: StoredRecord, body: Buffer | undefined): RecordDocument {
  const kind = kindNameOf(record.kind)
  try {
    if (kind === 'chunk') {
      const { blobId: blob, index } = decodeChunkLabel(record.label)
      return { kind, blob, index }
    }
    return { kind, ...fieldsOf(decodeRecord(record, body)) }
  } catch (thrown) {
    rethrowAssertion(thrown)
    // The checksums hold: it was written so, by a newer program or by mistake.
    return { kind, problem: `it does not decode: ${messageOf(thrown)}` }
  }
}

function fieldsOf(record: StoreRecord): Omit<RecordDocument, 'kind'> {
  switch (record.kind) {
    case 'put': {
      const { slot, version, context, meta } = record.mutation
      const bytes = record.blobs === undefined ? { body: 'inline' } : blobsOf(record.blobs)
      return { ...slotFields(slot), version, context, ...metaFields(meta), ...bytes }
    }
    case 'delete':
    case 'bucket':
      return mutationFields(record.mutation)
    case 'purge': {
      const { mutation, swept } = record
      return { ...mutationFields(mutation), ...(swept === undefined ? {} : { swept }) }
    }
    case 'join': {
      const { slot, version, context } = record
      return { ...slotFields(slot), version, context }
    }
    case 'upload':
    case 'abort':
      return labelFields(record.label)
    case 'part':
      return { ...labelFields(record.label), ...blobFields(record.part) }
    case 'deadletter': {
      const { remote, letter, state } = record
      const discarded = state === 'discarded'
      const { slot, version, seq: place, bytes, reason, attempts, time } = letter
      const fields = { remote, place, bytes, reason, attempts, time: isoTime(time), discarded }
      return { ...slotFields(slot), version, ...fields }
    }
    case 'remote': {
      // Its settings may hold a token.
      const { name, revision, epoch, begunAt, state } = record.record
      return { remote: name, revision, epoch, begun_at: begunAt, state }
    }
    case 'conflict':
    case 'resolved': {
      const { id, bucket, key, noticedAt, loser, winner, keptAs } = record.conflict
      const sides = { loser: sideFields(loser), winner: sideFields(winner) }
      return { bucket, key, id, noticed_at: isoTime(noticedAt), ...sides, kept_as: keptAs ?? null }
    }
  }
}

function mutationFields(mutation: Exclude<Mutation, PutMutation>): Omit<RecordDocument, 'kind'> {
  const { slot, version } = mutation
  const about = { ...slotFields(slot), version }
  if (mutation.kind !== 'bucket') return { ...about, context: mutation.context }
  const { created, deleted, conflictPolicy } = mutation
  const policy =
    conflictPolicy === undefined ? {} : { conflict_policy: conflictPolicy.policy ?? null }
  return { ...about, created: created ?? null, deleted: deleted ?? null, ...policy }
}

function slotFields(slot: Slot): Pick<RecordDocument, 'bucket' | 'key'> {
  const { bucket } = slot
  return slot.kind === 'object' ? { bucket, key: slot.key } : { bucket }
}

function labelFields(label: Buffer): Pick<RecordDocument, 'bucket' | 'key' | 'version'> {
  const { slot, version } = decodeLabel(label)
  return { ...slotFields(slot), version }
}

function metaFields(meta: ObjectMeta): Omit<RecordDocument, 'kind'> {
  const { size, etag, contentHash, lastModified, headers, userMetadata } = meta
  return {
    size,
    etag,
    content_hash: `${contentHash.algorithm}:${contentHash.digest.toString('hex')}`,
    last_modified: isoTime(lastModified),
    headers: { ...headers },
    user_metadata: { ...userMetadata },
  }
}

function blobsOf(blobs: readonly PlacedBlob[]): Omit<RecordDocument, 'kind'> {
  return { body: 'blobs', blobs: blobs.map(blobFields) }
}

function blobFields({ id, size, extents }: PlacedBlob) {
  const chunks = extents.map(({ segment, generation, offset }) => ({ segment, generation, offset }))
  return { blob: id, blob_size: size, chunks }
}

function sideFields(side: ConflictSide) {
  return side.kind === 'put'
    ? { kind: side.kind, version: side.version, size: side.size, etag: side.etag }
    : { kind: side.kind, version: side.version }
}
