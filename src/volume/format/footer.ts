/**
 * The footer of a sealed segment: what records it holds and where, so that cleaning, and a rebuild that
 * looks for moved chunks or for what damage took, read a footer and not all bytes. It begins where the
 * groups end and fills whole blocks; the last bytes of the last block, the trailer, say where it begins.
 */
import { assert } from '../../base/assert.ts'
import { checksum } from '../../base/checksum.ts'
import {
  blockBytes,
  footerEntryFixedBytes,
  footerHeaderBytes,
  footerTrailerBytes,
  padded,
} from './limits.ts'
import { readU64, writeU64 } from './numbers.ts'
import type { SegmentEnd } from './segment-header.ts'
import type { SegmentSeed } from './segment-seed.ts'

const magic = Buffer.from('CFTR', 'latin1').readUInt32LE(0)
const trailerMagic = Buffer.from('CEND', 'latin1').readUInt32LE(0)
const entriesBytesMin = 4096

export interface FooterEntry {
  readonly kind: number
  readonly seq: number
  readonly label: Uint8Array
  readonly offset: number
  readonly headLength: number
  readonly bodyLength: number
}

/** Bytes of a footer whose entries take `entriesBytes`, padding included. */
export function footerLength(entriesBytes: number): number {
  return padded(footerHeaderBytes + entriesBytes + footerTrailerBytes)
}

/** Gathers the entries while the segment fills: encoded at once, since the labels are the caller's. */
export class FooterBuilder {
  #entries = Buffer.allocUnsafeSlow(entriesBytesMin)
  #bytes = 0
  #count = 0

  get entriesBytes(): number {
    return this.#bytes
  }

  add(entry: FooterEntry): void {
    const length = footerEntryFixedBytes + entry.label.length
    this.#ensure(length)
    const entries = this.#entries
    const at = this.#bytes
    entries[at] = entry.kind
    entries[at + 1] = 0
    entries.writeUInt16LE(entry.label.length, at + 2)
    writeU64(entries, entry.seq, at + 4)
    entries.writeUInt32LE(entry.offset, at + 12)
    entries.writeUInt32LE(entry.headLength, at + 16)
    entries.writeUInt32LE(entry.bodyLength, at + 20)
    entries.set(entry.label, at + footerEntryFixedBytes)
    this.#bytes += length
    this.#count++
  }

  /** The footer as it is written at `end.validEnd`: header, entries, padding with the trailer. */
  encode(end: SegmentEnd, seed: SegmentSeed): Buffer[] {
    const offset = end.validEnd
    const entries = this.#entries.subarray(0, this.#bytes)
    const header = Buffer.alloc(footerHeaderBytes)
    header.writeUInt32LE(magic, 0)
    header.writeUInt32LE(this.#count, 4)
    header.writeUInt32LE(this.#bytes, 8)
    header.writeUInt32LE(end.lastGroup, 12)
    writeU64(header, end.highestSeq, 16)
    header.writeUInt32LE(checksum(entries, seed.at(offset + footerHeaderBytes)), 24)
    header.writeUInt32LE(checksum(header.subarray(0, 28), seed.at(offset)), 28)
    const total = footerLength(this.#bytes)
    const tail = Buffer.alloc(total - footerHeaderBytes - this.#bytes)
    writeTrailer(tail, { footer: offset, trailer: offset + total - footerTrailerBytes }, seed)
    return entries.length === 0 ? [header, tail] : [header, entries, tail]
  }

  #ensure(extra: number): void {
    const needed = this.#bytes + extra
    if (needed <= this.#entries.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#entries.length))
    this.#entries.copy(grown, 0, 0, this.#bytes)
    this.#entries = grown
  }
}

function writeTrailer(
  tail: Buffer,
  offsets: { readonly footer: number; readonly trailer: number },
  seed: SegmentSeed,
): void {
  const at = tail.length - footerTrailerBytes
  tail.writeUInt32LE(trailerMagic, at)
  tail.writeUInt32LE(offsets.footer, at + 4)
  const sum = checksum(tail.subarray(at, at + 12), seed.at(offsets.trailer))
  tail.writeUInt32LE(sum, at + 12)
}

/** Where the footer begins, from the last block of a segment of `size` bytes; undefined without one. */
export function decodeTrailer(
  lastBlock: Buffer,
  size: number,
  seed: SegmentSeed,
): number | undefined {
  assert(lastBlock.length === blockBytes, 'a trailer is looked for in one block')
  const at = blockBytes - footerTrailerBytes
  if (lastBlock.readUInt32LE(at) !== trailerMagic) return undefined
  const sum = checksum(lastBlock.subarray(at, at + 12), seed.at(size - footerTrailerBytes))
  if (lastBlock.readUInt32LE(at + 12) !== sum) return undefined
  return lastBlock.readUInt32LE(at + 4)
}

export interface FooterHeader extends SegmentEnd {
  readonly entryCount: number
  readonly entriesBytes: number
  readonly entriesChecksum: number
}

/** The footer header that begins at `at` in `bytes` and at `offset` in the segment, if one does. */
export function decodeFooterHeader(
  bytes: Buffer,
  at: number,
  place: { readonly offset: number; readonly seed: SegmentSeed },
): FooterHeader | undefined {
  if (bytes.length - at < footerHeaderBytes || bytes.readUInt32LE(at) !== magic) return undefined
  const sum = checksum(bytes.subarray(at, at + 28), place.seed.at(place.offset))
  if (bytes.readUInt32LE(at + 28) !== sum) return undefined
  return {
    validEnd: place.offset,
    entryCount: bytes.readUInt32LE(at + 4),
    entriesBytes: bytes.readUInt32LE(at + 8),
    lastGroup: bytes.readUInt32LE(at + 12),
    highestSeq: readU64(bytes, at + 16),
    entriesChecksum: bytes.readUInt32LE(at + 24),
  }
}

/** The entries, from the bytes behind the footer's header, or what is wrong with them as text. */
export function decodeFooterEntries(
  bytes: Buffer,
  header: FooterHeader,
  seed: SegmentSeed,
): FooterEntry[] | string {
  if (bytes.length !== header.entriesBytes) return 'the segment ends inside its footer'
  const sum = checksum(bytes, seed.at(header.validEnd + footerHeaderBytes))
  if (sum !== header.entriesChecksum) return 'the checksum over the footer entries does not match'
  const entries: FooterEntry[] = []
  let at = 0
  for (let i = 0; i < header.entryCount; i++) {
    if (bytes.length - at < footerEntryFixedBytes) return 'the footer ends inside an entry'
    const labelAt = at + footerEntryFixedBytes
    const end = labelAt + bytes.readUInt16LE(at + 2)
    if (end > bytes.length) return 'the footer ends inside an entry'
    entries.push({
      kind: bytes[at] ?? 0,
      seq: readU64(bytes, at + 4),
      label: bytes.subarray(labelAt, end),
      offset: bytes.readUInt32LE(at + 12),
      headLength: bytes.readUInt32LE(at + 16),
      bodyLength: bytes.readUInt32LE(at + 20),
    })
    at = end
  }
  return at === bytes.length ? entries : 'the footer holds more than its entries'
}
