/**
 * The store's records: how mutations and bookkeeping lie in the volume's log. docs/format.md
 * describes every byte.
 */
import { assert, unreachable } from '../../base/assert.ts'
import { ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location, RecordInput, StoredRecord } from '../../volume/volume.ts'
import {
  decodeContext,
  decodeLabel,
  decodeMutation,
  type EncodedMutation,
  encodeContext,
  encodeLabel,
  encodeMutation,
  type Mutation,
  type PurgeMutation,
  type PutMutation,
} from '../model/mutation.ts'
import type { DeadLetter, WriteConflict } from '../model/object-store.ts'
import type { Slot } from '../model/slot.ts'
import { type Context, decodeVersion, encodeVersion, type Version } from '../model/version.ts'
import { conflictLabel, decodeConflictFields, encodeConflictFields } from './conflict-entry.ts'
import { decodeLetterFields, encodeLetterFields } from './letter-entry.ts'
import { decodeRemoteRecord, encodeRemoteRecord, type RemoteRecord } from './remote-entry.ts'
import { decodeExtents, encodeExtents } from './small-entries.ts'

/** Numbers are part of the disk format: never reused. */
export const recordKinds = {
  put: 1,
  delete: 2,
  purge: 3,
  bucket: 4,
  chunk: 5,
  upload: 6,
  part: 7,
  abort: 8,
  deadletter: 9,
  join: 10,
  remote: 11,
  conflict: 12,
  resolved: 13,
} as const

/** A blob and where its chunks lay when the record was written. */
export interface PlacedBlob {
  readonly id: string
  readonly size: number
  readonly extents: readonly Location[]
}

export type StoreRecord =
  | {
      readonly kind: 'put'
      readonly mutation: PutMutation
      readonly blobs: readonly PlacedBlob[] | undefined
    }
  | {
      readonly kind: 'delete' | 'bucket'
      readonly mutation: Exclude<Mutation, PutMutation>
    }
  | {
      readonly kind: 'purge'
      readonly mutation: PurgeMutation
      /** How far this site has swept the bucket. */
      readonly swept: Version | undefined
    }
  | {
      readonly kind: 'join'
      readonly slot: Slot
      readonly version: Version
      readonly context: Context
    }
  | {
      readonly kind: 'deadletter'
      readonly remote: string
      readonly letter: DeadLetter
      /** Somebody closed it; or it was written again, so that the segment of the first can be freed. */
      readonly state: LetterState
    }
  | { readonly kind: 'remote'; readonly record: RemoteRecord }
  | { readonly kind: 'conflict' | 'resolved'; readonly conflict: WriteConflict }
  | { readonly kind: 'upload' | 'abort'; readonly label: Buffer }
  | { readonly kind: 'part'; readonly label: Buffer; readonly part: PlacedBlob }

export type LetterState = 'buried' | 'discarded' | 'copied'

const inlineTag = 1
const blobsTag = 2

/** @param body the bytes themselves, or where they were put as blobs */
export function putRecord(
  seq: number,
  encoded: EncodedMutation,
  body: { readonly bytes: Uint8Array } | { readonly blobs: readonly PlacedBlob[] },
): RecordInput {
  const inline = 'bytes' in body
  const head = Buffer.allocUnsafe(encoded.head.length + 1)
  head[0] = inline ? inlineTag : blobsTag
  encoded.head.copy(head, 1)
  const bytes = inline ? body.bytes : encodePlacedBlobs(body.blobs)
  return {
    kind: recordKinds.put,
    seq,
    label: encoded.label,
    head,
    body: bytes.length === 0 ? [] : [bytes],
  }
}

/** The put again, with the seq and context that it has by now and its body as it was read. */
export function copiedPut(
  stored: StoredRecord & { readonly body: Buffer },
  now: { readonly seq: number; readonly encoded: EncodedMutation },
): RecordInput {
  const head = Buffer.concat([stored.head.subarray(0, 1), now.encoded.head])
  const { kind, label, body } = stored
  return { kind, seq: now.seq, label, head, body: body.length === 0 ? [] : [body] }
}

export function plainRecord(seq: number, mutation: Exclude<Mutation, PutMutation>): RecordInput {
  const { label, head } = encodeMutation(mutation)
  return { kind: recordKinds[mutation.kind], seq, label, head, body: [] }
}

/** @param swept how far this site has swept the bucket: its own affair, other sites are not told */
export function purgeRecord(
  seq: number,
  mutation: PurgeMutation,
  swept: Version | undefined,
): RecordInput {
  const record = plainRecord(seq, mutation)
  if (swept === undefined) return record
  const body = new ByteWriter(48)
  encodeVersion(body, swept)
  return { ...record, body: [body.finish()] }
}

export function joinRecord(
  seq: number,
  join: { readonly slot: Slot; readonly version: Version; readonly context: Context },
): RecordInput {
  const head = new ByteWriter(64)
  encodeContext(head, join.context)
  const label = encodeLabel(join.slot, join.version)
  return { kind: recordKinds.join, seq, label, head: head.finish(), body: [] }
}

const discardedTag = 1
const copiedTag = 2

export function deadLetterRecord(
  remote: string,
  letter: DeadLetter,
  state: LetterState,
): RecordInput {
  const head = new ByteWriter(128).text(remote)
  encodeLetterFields(head, letter)
  if (state !== 'buried') head.u8(state === 'discarded' ? discardedTag : copiedTag)
  const label = encodeLabel(letter.slot, letter.version)
  return { kind: recordKinds.deadletter, seq: 0, label, head: head.finish(), body: [] }
}

/** Where this site ships to. It takes no place in the feed: other sites are not told. */
export function remoteRecord(record: RemoteRecord): RecordInput {
  const label = Buffer.from(record.name)
  return { kind: recordKinds.remote, seq: 0, label, head: encodeRemoteRecord(record), body: [] }
}

/** `resolved`: somebody has settled it, and it leaves the list. */
export function conflictRecord(conflict: WriteConflict, state: 'open' | 'resolved'): RecordInput {
  const head = new ByteWriter(192)
  encodeConflictFields(head, conflict)
  const kind = state === 'open' ? recordKinds.conflict : recordKinds.resolved
  return { kind, seq: 0, label: conflictLabel(conflict), head: head.finish(), body: [] }
}

export function uploadRecord(kind: 'upload' | 'abort', label: Uint8Array): RecordInput {
  return { kind: recordKinds[kind], seq: 0, label, head: Buffer.alloc(0), body: [] }
}

export function partRecord(label: Uint8Array, part: PlacedBlob): RecordInput {
  const body = [encodePlacedBlobs([part])]
  return { kind: recordKinds.part, seq: 0, label, head: Buffer.alloc(0), body }
}

/** @param index the chunk's number within its blob, from 0 */
export function chunkRecord(blobId: string, index: number, body: Uint8Array): RecordInput {
  const label = chunkLabel(Buffer.from(blobId, 'hex'), index)
  return { kind: recordKinds.chunk, seq: 0, label, head: Buffer.alloc(0), body: [body] }
}

/** @param blobId 16 bytes */
export function chunkLabel(blobId: Uint8Array, index: number): Buffer {
  return new ByteWriter(24).raw(blobId).varint(index).finish()
}

/** @throws MalformedBytesError */
export function decodeChunkLabel(label: Uint8Array): {
  readonly blobId: string
  readonly index: number
} {
  const reader = new ByteReader(label)
  const blobId = reader.raw(16).toString('hex')
  const index = reader.varint()
  reader.end()
  return { blobId, index }
}

/** True when decoding the record needs its body too. */
export function needsBody(record: StoredRecord): boolean {
  return (
    record.kind === recordKinds.part ||
    record.kind === recordKinds.purge ||
    (record.kind === recordKinds.put && record.head[0] === blobsTag)
  )
}

/** @throws MalformedBytesError */
export function decodeRecord(record: StoredRecord, body: Buffer | undefined): StoreRecord {
  switch (record.kind) {
    case recordKinds.put: {
      const head = record.head.subarray(1)
      const mutation = decodeMutation({ kind: 'put', label: record.label, head })
      assert(mutation.kind === 'put', 'a put decodes to a put')
      return {
        kind: 'put',
        mutation,
        blobs: needsBody(record) ? decodePlacedBlobs(body) : undefined,
      }
    }
    case recordKinds.delete:
      return plain('delete', record)
    case recordKinds.purge:
      return decodePurge(record, body)
    case recordKinds.bucket:
      return plain('bucket', record)
    case recordKinds.join: {
      const { slot, version } = decodeLabel(record.label)
      return { kind: 'join', slot, version, context: decodeContext(new ByteReader(record.head)) }
    }
    case recordKinds.deadletter: {
      const reader = new ByteReader(record.head)
      const remote = reader.text()
      const letter = decodeLetterFields(reader, record.label)
      return { kind: 'deadletter', remote, letter, state: letterStateOf(reader) }
    }
    case recordKinds.remote: {
      const name = record.label.toString()
      return { kind: 'remote', record: decodeRemoteRecord(name, record.head) }
    }
    case recordKinds.conflict:
    case recordKinds.resolved: {
      const conflict = decodeConflictFields(new ByteReader(record.head), record.label)
      return { kind: record.kind === recordKinds.conflict ? 'conflict' : 'resolved', conflict }
    }
    case recordKinds.upload:
      return { kind: 'upload', label: record.label }
    case recordKinds.abort:
      return { kind: 'abort', label: record.label }
    case recordKinds.part: {
      const [part] = decodePlacedBlobs(body)
      if (part === undefined) throw new MalformedBytesError('a part record names no blob')
      return { kind: 'part', label: record.label, part }
    }
    default:
      throw new MalformedBytesError(`no record of the log has kind ${record.kind}`)
  }
}

function letterStateOf(reader: ByteReader): LetterState {
  const tag = reader.remaining > 0 ? reader.u8() : 0
  if (tag === copiedTag) return 'copied'
  return tag === discardedTag ? 'discarded' : 'buried'
}

function decodePurge({ label, head }: StoredRecord, body: Buffer = Buffer.alloc(0)): StoreRecord {
  const mutation = decodeMutation({ kind: 'purge', label, head })
  assert(mutation.kind === 'purge', 'a purge decodes to a purge')
  const swept = body.length === 0 ? undefined : decodeVersion(new ByteReader(body))
  return { kind: 'purge', mutation, swept }
}

function plain(kind: 'delete' | 'bucket', record: StoredRecord): StoreRecord {
  const mutation = decodeMutation({ kind, label: record.label, head: record.head })
  if (mutation.kind === 'put') return unreachable(mutation as never)
  return { kind, mutation }
}

/** The body of a put in whose place there is none. */
export const noBlobs: Buffer = encodePlacedBlobs([])

function encodePlacedBlobs(blobs: readonly PlacedBlob[]): Buffer {
  const writer = new ByteWriter(256).varint(blobs.length)
  for (const blob of blobs) {
    writer.raw(Buffer.from(blob.id, 'hex')).varint(blob.size).bytes(encodeExtents(blob.extents))
  }
  return writer.finish()
}

function decodePlacedBlobs(body: Buffer | undefined): PlacedBlob[] {
  assert(body !== undefined, 'the record is decoded with its body')
  const reader = new ByteReader(body)
  const blobs: PlacedBlob[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const id = reader.raw(16).toString('hex')
    const size = reader.varint()
    blobs.push({ id, size, extents: decodeExtents(reader.bytes()) })
  }
  return blobs
}
