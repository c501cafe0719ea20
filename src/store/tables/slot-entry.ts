/**
 * What the index keeps of an object's slot: a live object or a tombstone. The head is the mutation's
 * own encoding, the same bytes as in the log, so that nothing is encoded twice.
 */
import { assert } from '../../base/assert.ts'
import { ByteReader } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location } from '../../volume/volume.ts'
import { CorruptIndexError } from '../model/errors.ts'
import {
  decodeContext,
  decodeMeta,
  encodeContext,
  encodeMeta,
  type ObjectMeta,
} from '../model/mutation.ts'
import { type Context, decodeVersion, encodeVersion, type Version } from '../model/version.ts'

/** A large object's bytes, or one part of them. */
export interface BlobRef {
  /** 16 bytes as hex. */
  readonly id: string
  readonly size: number
}

/** `inline`: in the record at the entry's location. */
export type BodyPlace =
  | { readonly kind: 'inline' }
  | { readonly kind: 'blobs'; readonly blobs: readonly BlobRef[] }

interface SlotEntryBase {
  readonly seq: number
  readonly version: Version
  readonly context: Context
  /** Undefined between being sequenced and being logged. */
  location: Location | undefined
}

export interface LiveEntry extends SlotEntryBase {
  readonly kind: 'live'
  readonly meta: ObjectMeta
  readonly body: BodyPlace
  /** The seq in the record at `location`: older than `seq` once a join gave the slot a new place. */
  readonly recordSeq: number
  /** The record that last widened the context, when that is not the put itself. */
  joinLocation: Location | undefined
}

export interface TombstoneEntry extends SlotEntryBase {
  readonly kind: 'tombstone'
}

export type SlotEntry = LiveEntry | TombstoneEntry

const format = 1

/** @param head the mutation's, where it is at hand: context and metadata in the same bytes */
export function encodeLiveEntry(entry: LiveEntry, head?: Uint8Array): Buffer {
  assert(entry.location !== undefined, 'an entry is indexed after it is logged')
  const writer = new ByteWriter(256).u8(format).u64(entry.seq)
  encodeLocation(writer, entry.location)
  encodeVersion(writer, entry.version)
  if (head === undefined) {
    encodeContext(writer, entry.context)
    encodeMeta(writer, entry.meta)
  } else writer.raw(head)
  encodeBody(writer, entry.body)
  writer.u8(entry.joinLocation === undefined ? 0 : 1)
  if (entry.joinLocation !== undefined) {
    writer.u64(entry.recordSeq)
    encodeLocation(writer, entry.joinLocation)
  }
  return writer.finish()
}

export function decodeLiveEntry(bytes: Uint8Array): LiveEntry {
  const reader = entryReader(bytes)
  const seq = reader.u64()
  const location = decodeLocation(reader)
  const version = decodeVersion(reader)
  const context = decodeContext(reader)
  const meta = decodeMeta(reader)
  const body = decodeBody(reader)
  const joined = reader.u8() === 1
  const recordSeq = joined ? reader.u64() : seq
  const joinLocation = joined ? decodeLocation(reader) : undefined
  reader.end()
  return { kind: 'live', seq, version, context, location, meta, body, recordSeq, joinLocation }
}

export function encodeTombstone(entry: TombstoneEntry): Buffer {
  assert(entry.location !== undefined, 'a tombstone is indexed after it is logged')
  const writer = new ByteWriter(96).u8(format).u64(entry.seq)
  encodeLocation(writer, entry.location)
  encodeVersion(writer, entry.version)
  encodeContext(writer, entry.context)
  return writer.finish()
}

export function decodeTombstone(bytes: Uint8Array): TombstoneEntry {
  const reader = entryReader(bytes)
  const seq = reader.u64()
  const location = decodeLocation(reader)
  const version = decodeVersion(reader)
  const context = decodeContext(reader)
  reader.end()
  return { kind: 'tombstone', seq, version, context, location }
}

/** A reader behind the format byte of a stored value. */
export function entryReader(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes)
  const found = reader.u8()
  if (found !== format) {
    throw new CorruptIndexError(
      `an index value has format ${found}, this program knows ${format}`,
      {
        hint: 'The index was written by a newer ComIO: start that version.',
      },
    )
  }
  return reader
}

export function encodeLocation(writer: ByteWriter, location: Location): void {
  writer
    .varint(location.segment)
    .varint(location.generation)
    .varint(location.offset)
    .varint(location.headLength)
    .varint(location.bodyLength)
}

export function decodeLocation(reader: ByteReader): Location {
  return {
    segment: reader.varint(),
    generation: reader.varint(),
    offset: reader.varint(),
    headLength: reader.varint(),
    bodyLength: reader.varint(),
  }
}

function encodeBody(writer: ByteWriter, body: BodyPlace): void {
  if (body.kind === 'inline') {
    writer.varint(0)
    return
  }
  writer.varint(body.blobs.length + 1)
  for (const blob of body.blobs) writer.raw(Buffer.from(blob.id, 'hex')).varint(blob.size)
}

function decodeBody(reader: ByteReader): BodyPlace {
  const tag = reader.varint()
  if (tag === 0) return { kind: 'inline' }
  const blobs: BlobRef[] = []
  for (let i = 1; i < tag; i++)
    blobs.push({ id: reader.raw(16).toString('hex'), size: reader.varint() })
  return { kind: 'blobs', blobs }
}
