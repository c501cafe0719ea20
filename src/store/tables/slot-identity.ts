/**
 * The part of an index entry that equal sites agree on: version and metadata, as the bytes that log
 * and wire carry too. Where the entry lies, and its place in the feed, are each site's own.
 */
import { ByteReader } from '../../base/byte-reader.ts'
import { skipMeta } from '../model/mutation.ts'
import type { SurveyTable } from '../model/survey.ts'
import { decodeVersion, type Version } from '../model/version.ts'
import { entryReader } from './slot-entry.ts'

/** Where it is in the entry's bytes: of a million entries, none is cut into views. */
export interface SlotIdentity {
  readonly value: Buffer
  readonly seq: number
  readonly versionAt: number
  readonly versionEnd: number
  /** Nothing for a deletion. */
  readonly metaAt: number
  readonly metaEnd: number
}

/** @throws MalformedBytesError, CorruptIndexError */
export function slotIdentity(table: SurveyTable, value: Buffer): SlotIdentity {
  const reader = entryReader(value)
  const seq = reader.u64()
  skipLocation(reader)
  const versionAt = reader.position
  skipVersion(reader)
  const versionEnd = reader.position
  if (table === 'tombstones') {
    return { value, seq, versionAt, versionEnd, metaAt: versionEnd, metaEnd: versionEnd }
  }
  skipContext(reader)
  const metaAt = reader.position
  skipMeta(reader)
  return { value, seq, versionAt, versionEnd, metaAt, metaEnd: reader.position }
}

/** Decoded where it is needed, which for most of a million entries it is not. */
export function versionIn({ value, versionAt }: SlotIdentity): Version {
  return decodeVersion(new ByteReader(value, versionAt))
}

/** Context and metadata of a live object: the head of its put, in the bytes that log and wire have. */
export function headIn(value: Buffer): Buffer {
  const reader = entryReader(value)
  reader.skip(8) // the seq
  skipLocation(reader)
  skipVersion(reader)
  const at = reader.position
  skipContext(reader)
  skipMeta(reader)
  return value.subarray(at, reader.position)
}

function skipLocation(reader: ByteReader): void {
  for (let field = 0; field < 5; field++) reader.varint()
}

function skipVersion(reader: ByteReader): void {
  reader.skip(8)
  reader.skipBytes()
}

function skipContext(reader: ByteReader): void {
  for (let left = reader.varint(); left > 0; left--) skipVersion(reader)
}
