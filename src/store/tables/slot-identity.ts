/**
 * The part of an index entry that equal sites agree on: version and metadata, as the bytes that log
 * and wire carry too. Where the entry lies, and its place in the feed, are each site's own.
 */
import { ByteReader } from '../../base/byte-reader.ts'
import { skipMeta } from '../model/mutation.ts'
import type { SurveyTable } from '../model/survey.ts'
import { decodeVersion, type Version } from '../model/version.ts'
import { entryReader } from './slot-entry.ts'

/** Views into the entry. */
export interface SlotIdentity {
  readonly seq: number
  readonly version: Buffer
  /** Empty for a deletion. */
  readonly meta: Buffer
}

const noMeta = Buffer.alloc(0)

/** @throws MalformedBytesError, CorruptIndexError */
export function slotIdentity(table: SurveyTable, value: Buffer): SlotIdentity {
  const reader = entryReader(value)
  const seq = reader.u64()
  for (let field = 0; field < 5; field++) reader.varint() // the location
  const versionAt = reader.position
  reader.raw(8)
  reader.bytes()
  const version = value.subarray(versionAt, reader.position)
  if (table === 'tombstones') return { seq, version, meta: noMeta }
  skipContext(reader)
  const metaAt = reader.position
  skipMeta(reader)
  return { seq, version, meta: value.subarray(metaAt, reader.position) }
}

/** Decoded where it is needed, which for most of a million entries it is not. */
export function versionIn({ version }: SlotIdentity): Version {
  return decodeVersion(new ByteReader(version))
}

/** Context and metadata of a live object: the head of its put, in the bytes that log and wire have. */
export function headIn(value: Buffer): Buffer {
  const reader = entryReader(value)
  reader.u64() // the seq
  for (let field = 0; field < 5; field++) reader.varint() // the location
  reader.raw(8)
  reader.bytes()
  const at = reader.position
  skipContext(reader)
  skipMeta(reader)
  return value.subarray(at, reader.position)
}

function skipContext(reader: ByteReader): void {
  for (let left = reader.varint(); left > 0; left--) {
    reader.raw(8)
    reader.bytes()
  }
}
