/** What the index keeps of a bucket: its register, its purge floor, and exact counters. */

import { ByteReader } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location } from '../../volume/volume.ts'
import type { PolicyRegister } from '../model/bucket-register.ts'
import { decodeContext, decodePolicy, encodeContext, encodePolicy } from '../model/mutation.ts'
import { type Context, decodeVersion, encodeVersion, type Version } from '../model/version.ts'
import { decodeLocation, encodeLocation, entryReader } from './slot-entry.ts'

/** A mutation of the bucket itself that is in the log, and its place in the feed. */
export interface RegisterPlace {
  readonly seq: number
  readonly location: Location
}

export interface BucketEntry {
  readonly created: Version | undefined
  readonly deleted: Version | undefined
  readonly register: RegisterPlace | undefined
  /** Everything at or below is absent. */
  readonly floor: Version | undefined
  readonly floorContext: Context
  readonly floorPlace: RegisterPlace | undefined
  /** Objects that remotes may still have because they have not heard of the floor: at most so many. */
  readonly hidden?: number
  /** What is at or below was dealt with: whoever finds it again, in an index built anew, has found what was dead. */
  readonly swept: Version | undefined
  /** True until everything under the floor is out of the index and the counters. */
  readonly sweeping: boolean
  /** Objects in the index and their bytes; includes what waits for the sweep. */
  readonly objectCount: number
  readonly objectBytes: number
  /** The highest version of each site that was seen in this bucket. */
  readonly seen: Context
  readonly conflictPolicy?: PolicyRegister | undefined
}

/** Whether it is there also without an object in it. */
export function isMade({ created, deleted }: BucketEntry): boolean {
  return created !== undefined && (deleted === undefined || created > deleted)
}

export const emptyBucket: BucketEntry = {
  created: undefined,
  deleted: undefined,
  register: undefined,
  floor: undefined,
  floorContext: [],
  floorPlace: undefined,
  swept: undefined,
  sweeping: false,
  objectCount: 0,
  objectBytes: 0,
  seen: [],
}

export function encodeBucketEntry(entry: BucketEntry): Buffer {
  const writer = new ByteWriter(128).u8(1)
  optional(writer, entry.created, encodeVersion)
  optional(writer, entry.deleted, encodeVersion)
  optional(writer, entry.register, encodePlace)
  optional(writer, entry.floor, encodeVersion)
  encodeContext(writer, entry.floorContext)
  optional(writer, entry.floorPlace, encodePlace)
  writer
    .u8(entry.sweeping ? 1 : 0)
    .u64(entry.objectCount)
    .u64(entry.objectBytes)
  encodeContext(writer, entry.seen)
  if (entry.hidden !== undefined && entry.hidden > 0) writer.u8(hiddenTag).u64(entry.hidden)
  if (entry.swept !== undefined) encodeVersion(writer.u8(sweptTag), entry.swept)
  encodePolicy(writer, entry.conflictPolicy)
  return writer.finish()
}

export function decodeBucketEntry(bytes: Uint8Array): BucketEntry {
  const reader = entryReader(bytes)
  const entry: BucketEntry = {
    created: readOptional(reader, decodeVersion),
    deleted: readOptional(reader, decodeVersion),
    register: readOptional(reader, decodePlace),
    floor: readOptional(reader, decodeVersion),
    floorContext: decodeContext(reader),
    floorPlace: readOptional(reader, decodePlace),
    sweeping: reader.u8() === 1,
    objectCount: reader.u64(),
    objectBytes: reader.u64(),
    seen: decodeContext(reader),
    ...decodeRest(reader),
  }
  reader.end()
  return entry
}

/** What may follow, each with a tag; the policy brings its own, which is 1. */
const hiddenTag = 2
const sweptTag = 3

function decodeRest(reader: ByteReader): Pick<BucketEntry, 'hidden' | 'swept' | 'conflictPolicy'> {
  const bytes = reader.raw(reader.remaining)
  const rest = new ByteReader(bytes)
  const has = (tag: number): boolean => {
    const isNext = bytes[bytes.length - rest.remaining] === tag
    if (isNext) rest.u8()
    return isNext
  }
  const hidden = has(hiddenTag) ? { hidden: rest.u64() } : {}
  const swept = has(sweptTag) ? decodeVersion(rest) : undefined
  return { ...hidden, swept, ...decodePolicy(rest) }
}

function optional<T>(
  writer: ByteWriter,
  value: T | undefined,
  encode: (writer: ByteWriter, value: T) => void,
): void {
  writer.u8(value === undefined ? 0 : 1)
  if (value !== undefined) encode(writer, value)
}

function readOptional<T>(reader: ByteReader, decode: (reader: ByteReader) => T): T | undefined {
  return reader.u8() === 0 ? undefined : decode(reader)
}

function encodePlace(writer: ByteWriter, place: RegisterPlace): void {
  writer.u64(place.seq)
  encodeLocation(writer, place.location)
}

function decodePlace(reader: ByteReader): RegisterPlace {
  const seq = reader.u64()
  return { seq, location: decodeLocation(reader) }
}
