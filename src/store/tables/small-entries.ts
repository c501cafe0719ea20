/** Index values that are a few numbers each: store state, segment counters, peers, conflicts, blobs. */
import { MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location, LogPosition } from '../../volume/volume.ts'
import { decodeHoldings, encodeHoldings } from '../model/holdings.ts'
import type { ConflictTotals, PeerMark } from '../model/object-store.ts'
import { decodeVersion, encodeVersion, type Version } from '../model/version.ts'
import { decodeLocation, encodeLocation, entryReader } from './slot-entry.ts'

/** Written with every batch. */
export interface StoreState {
  /** Everything in the log before it is in the index. */
  readonly checkpoint: LogPosition | undefined
  /** The last seq given. */
  readonly seq: number
  /** The highest version made or seen. */
  readonly version: Version | undefined
  /** Live places in the feed, and the bytes of their objects. */
  readonly places: number
  readonly placeBytes: number
}

export function encodeStoreState(state: StoreState): Buffer {
  const writer = new ByteWriter(96).u8(1).u8(state.checkpoint === undefined ? 0 : 1)
  if (state.checkpoint !== undefined) {
    const { segment, generation, offset } = state.checkpoint
    writer.varint(segment).varint(generation).varint(offset)
  }
  writer.u64(state.seq).u64(state.places).u64(state.placeBytes)
  writer.u8(state.version === undefined ? 0 : 1)
  if (state.version !== undefined) encodeVersion(writer, state.version)
  return writer.finish()
}

export function decodeStoreState(bytes: Uint8Array): StoreState {
  const reader = entryReader(bytes)
  const checkpoint =
    reader.u8() === 0
      ? undefined
      : { segment: reader.varint(), generation: reader.varint(), offset: reader.varint() }
  const seq = reader.u64()
  const places = reader.u64()
  const placeBytes = reader.u64()
  const version = reader.u8() === 0 ? undefined : decodeVersion(reader)
  reader.end()
  return { checkpoint, seq, version, places, placeBytes }
}

/** Live records of one use of a segment. */
export interface SegmentCount {
  readonly generation: number
  readonly records: number
  readonly bytes: number
}

export function encodeSegmentCount(count: SegmentCount): Buffer {
  return new ByteWriter(24)
    .u8(1)
    .varint(count.generation)
    .varint(count.records)
    .varint(count.bytes)
    .finish()
}

export function decodeSegmentCount(bytes: Uint8Array): SegmentCount {
  const reader = entryReader(bytes)
  return { generation: reader.varint(), records: reader.varint(), bytes: reader.varint() }
}

export function encodePeerMark(mark: PeerMark): Buffer {
  const writer = new ByteWriter(120).u8(1).text(mark.incarnation).u64(mark.through)
  writer.u64(mark.epoch).u8(Number(mark.ended))
  if (mark.holdings !== undefined) encodeHoldings(writer, mark.holdings)
  return writer.finish()
}

export function decodePeerMark(volumeId: string, bytes: Uint8Array): PeerMark {
  const reader = entryReader(bytes)
  const mark = { volumeId, incarnation: reader.text(), through: reader.u64() }
  // A volume from before links had epochs has none here.
  if (reader.remaining === 0) return { ...mark, epoch: 0, ended: false }
  const linked = { ...mark, epoch: reader.u64(), ended: reader.u8() === 1 }
  return reader.remaining === 0 ? linked : { ...linked, holdings: decodeHoldings(reader) }
}

export interface StoredTotals extends ConflictTotals {
  /** Of the conflict that was listed last: ids are not given twice. */
  readonly lastId: number
}

export function encodeConflictTotals(totals: StoredTotals): Buffer {
  const { noticed, kept, dropped, lastId } = totals
  return new ByteWriter(33).u8(1).u64(noticed).u64(kept).u64(dropped).u64(lastId).finish()
}

export function decodeConflictTotals(bytes: Uint8Array): StoredTotals {
  const reader = entryReader(bytes)
  const [noticed, kept, dropped] = [reader.u64(), reader.u64(), reader.u64()]
  return { noticed, kept, dropped, lastId: reader.u64() }
}

/**
 * Where a blob's chunks lie, in order. A chunk that lies behind the one before in the same segment
 * and has its lengths takes about five bytes, so that a large object's map stays small.
 */
export function encodeExtents(extents: readonly Location[]): Buffer {
  const writer = new ByteWriter(32 + extents.length * 6).u8(1).varint(extents.length)
  let previous: Location | undefined
  for (const extent of extents) {
    if (previous !== undefined && follows(previous, extent)) {
      writer.u8(1).varint(extent.offset - previous.offset)
    } else {
      writer.u8(0)
      encodeLocation(writer, extent)
    }
    previous = extent
  }
  return writer.finish()
}

export function decodeExtents(bytes: Uint8Array): Location[] {
  const reader = entryReader(bytes)
  const extents: Location[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const previous = extents.at(-1)
    if (reader.u8() === 0) extents.push(decodeLocation(reader))
    else if (previous === undefined) throw new MalformedBytesError('the first extent stands alone')
    else extents.push({ ...previous, offset: previous.offset + reader.varint() })
  }
  return extents
}

function follows(previous: Location, extent: Location): boolean {
  return (
    previous.segment === extent.segment &&
    previous.generation === extent.generation &&
    previous.headLength === extent.headLength &&
    previous.bodyLength === extent.bodyLength &&
    previous.offset <= extent.offset
  )
}
