/** What the volume keeps of a remote: in the log as a record, in the index under its name. */
import { ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location } from '../../volume/volume.ts'
import {
  type Discards,
  decodeDiscards,
  encodeDiscards,
  isBlank,
  noDiscards,
} from '../model/discards.ts'
import { decodeFilter, encodeFilter, type PlaceFilter } from '../model/place-filter.ts'
import { decodeLocation, encodeLocation, entryReader } from './slot-entry.ts'

/** One remote as the log has it last. */
export interface RemoteRecord {
  readonly name: string
  /** Rises with every change of the record: the highest holds, wherever it lies in the log. */
  readonly revision: number
  /** Names the link, and rises with every new one; both ends know it. */
  readonly epoch: number
  /** The head of the feed when the link began: what had been deleted by then is not sent. */
  readonly begunAt: number
  readonly state: 'linked' | 'paused' | 'removed'
  readonly filter: PlaceFilter
  /** How it is reached, and how fast: the server's, as JSON. Empty when the configuration has it. */
  readonly settings: string
  /** What was given up for this link. */
  readonly discards: Discards
}

export interface RemoteEntry {
  readonly record: RemoteRecord
  readonly location: Location
}

/** Numbers are part of the disk format: never reused. */
const states = ['linked', 'paused', 'removed'] as const

export function encodeRemoteRecord(record: RemoteRecord): Buffer {
  const writer = new ByteWriter(128)
    .u8(1)
    .u64(record.revision)
    .u64(record.epoch)
    .u64(record.begunAt)
    .u8(states.indexOf(record.state))
    .text(record.settings)
    .raw(encodeFilter(record.filter))
  // Nothing at all where nothing was given up.
  if (!isBlank(record.discards)) writer.raw(encodeDiscards(record.discards))
  return writer.finish()
}

/** @throws MalformedBytesError */
export function decodeRemoteRecord(name: string, bytes: Uint8Array): RemoteRecord {
  const reader = new ByteReader(bytes)
  const form = reader.u8()
  if (form !== 1) throw new MalformedBytesError(`a remote's record has the unknown form ${form}`)
  const revision = reader.u64()
  const epoch = reader.u64()
  const begunAt = reader.u64()
  const state = states[reader.u8()]
  if (state === undefined) throw new MalformedBytesError('a remote is in an unknown state')
  const settings = reader.text()
  const filter = decodeFilter(reader)
  const discards = reader.remaining > 0 ? decodeDiscards(reader) : noDiscards
  reader.end()
  return { name, revision, epoch, begunAt, state, filter, settings, discards }
}

export function encodeRemoteEntry({ record, location }: RemoteEntry): Buffer {
  const writer = new ByteWriter(160).u8(1)
  encodeLocation(writer, location)
  return writer.raw(encodeRemoteRecord(record)).finish()
}

export function decodeRemoteEntry(name: string, bytes: Uint8Array): RemoteEntry {
  const reader = entryReader(bytes)
  const location = decodeLocation(reader)
  return { location, record: decodeRemoteRecord(name, reader.raw(reader.remaining)) }
}
