/** Conflicts that this site noticed, in the log and in the index. */
import { type ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location } from '../../volume/volume.ts'
import { decodeLabel, encodeLabel } from '../model/mutation.ts'
import type { ConflictSide, WriteConflict } from '../model/object-store.ts'
import { objectSlot } from '../model/slot.ts'
import { decodeVersion, encodeVersion, type Version } from '../model/version.ts'
import { decodeLocation, encodeLocation, entryReader } from './slot-entry.ts'

export interface ConflictEntry {
  readonly conflict: WriteConflict
  readonly location: Location
}

const kindTags = { put: 1, delete: 2, purge: 3 } as const

export function encodeConflictEntry({ conflict, location }: ConflictEntry): Buffer {
  const writer = new ByteWriter(256).u8(1)
  encodeLocation(writer, location)
  writer.bytes(conflictLabel(conflict))
  encodeConflictFields(writer, conflict)
  return writer.finish()
}

export function decodeConflictEntry(bytes: Uint8Array): ConflictEntry {
  const reader = entryReader(bytes)
  const location = decodeLocation(reader)
  const label = reader.bytes()
  const conflict = decodeConflictFields(reader, label)
  reader.end()
  return { conflict, location }
}

/** The write that lost. */
export function conflictLabel({ bucket, key, loser }: WriteConflict): Buffer {
  return encodeLabel(objectSlot(bucket, key), loser.version)
}

export function encodeConflictFields(writer: ByteWriter, conflict: WriteConflict): void {
  writer.u64(conflict.id).u64(conflict.noticedAt)
  encodeSide(writer, conflict.loser)
  encodeVersion(writer, conflict.winner.version)
  encodeSide(writer, conflict.winner)
  writer.text(conflict.keptAs ?? '')
}

/** @throws MalformedBytesError */
export function decodeConflictFields(reader: ByteReader, label: Uint8Array): WriteConflict {
  const { slot, version } = decodeLabel(label)
  if (slot.kind !== 'object') throw new MalformedBytesError('a conflict is about an object')
  const id = reader.u64()
  const noticedAt = reader.u64()
  const loser = decodeSide(reader, version)
  const winner = decodeSide(reader, decodeVersion(reader))
  const keptAs = reader.text()
  const { bucket, key } = slot
  return { id, bucket, key, noticedAt, loser, winner, keptAs: keptAs === '' ? undefined : keptAs }
}

function encodeSide(writer: ByteWriter, side: ConflictSide): void {
  writer.u8(kindTags[side.kind])
  if (side.kind === 'put') writer.u64(side.size).text(side.etag)
}

function decodeSide(reader: ByteReader, version: Version): ConflictSide {
  const tag = reader.u8()
  switch (tag) {
    case kindTags.put: {
      const size = reader.u64()
      return { kind: 'put', version, size, etag: reader.text() }
    }
    case kindTags.delete:
      return { kind: 'delete', version }
    case kindTags.purge:
      return { kind: 'purge', version }
    default:
      throw new MalformedBytesError(`no side of a conflict has tag ${tag}`)
  }
}
