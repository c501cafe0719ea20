/**
 * A group in bytes: a header, the records one after the other, zeros up to the next block. The group
 * is the unit of commit: it counts whole or not at all.
 *
 * What holds of the whole folder: whatever is decoded has been checked, and it must never know a device, nor
 * in which order things are written.
 */
import { assert } from '../../base/assert.ts'
import { checksum } from '../../base/checksum.ts'
import { footerEntryFixedBytes, groupHeaderBytes, padded } from './limits.ts'
import { readU64, writeU64 } from './numbers.ts'
import type { Location, RecordInput, SegmentUse } from './record.ts'
import {
  bodyLengthOf,
  decodeRecordHeader,
  encodeRecordHeader,
  type RecordHeader,
  recordLength,
  verifyBody,
} from './record-codec.ts'
import type { SegmentSeed } from './segment-seed.ts'

const magic = Buffer.from('CGRP', 'latin1').readUInt32LE(0)
/** What Linux takes in one vectored write. */
const piecesMax = 1024
/** Shorter pieces of a body cost less to copy than to hand over one by one. */
const copyBelowMin = 16 * 1024
const scratchBytesMin = 64 * 1024

export interface GroupMeasure {
  /** Of header and records, without padding. */
  readonly bytes: number
  /** What the group adds to the segment's footer. */
  readonly footerBytes: number
}

export function measureGroup(records: readonly RecordInput[]): GroupMeasure {
  let bytes = groupHeaderBytes
  let footerBytes = 0
  for (const record of records) {
    bytes += recordLength(record)
    footerBytes += footerEntryFixedBytes + record.label.length
  }
  return { bytes, footerBytes }
}

export interface GroupPlace {
  readonly use: SegmentUse
  readonly seed: SegmentSeed
  readonly offset: number
  readonly number: number
  /** Highest seq of the stream before this group. */
  readonly highestSeq: number
}

export interface EncodedGroup {
  /** Headers and padding are views of the encoder's own buffer: valid until it encodes again. */
  readonly pieces: readonly Uint8Array[]
  /** With padding. */
  readonly bytes: number
  readonly locations: readonly Location[]
  readonly highestSeq: number
}

/**
 * Encodes one group after the other into a buffer that it keeps, so that the hot path allocates
 * nothing but the list of pieces. Bodies are passed through as they came.
 */
export class GroupEncoder {
  #scratch = Buffer.allocUnsafeSlow(scratchBytesMin)
  /** Bytes of the scratch buffer used so far, and where the piece that is being filled began. */
  #filled = 0
  #pieceStart = 0

  encode(records: readonly RecordInput[], measure: GroupMeasure, place: GroupPlace): EncodedGroup {
    const bytes = padded(measure.bytes)
    const { copyBelow, passedBytes } = planPieces(records)
    this.#reserve(bytes - passedBytes)
    const pieces: Uint8Array[] = []
    const locations: Location[] = []
    const { segment, generation } = place.use
    let offset = place.offset + groupHeaderBytes
    let highestSeq = place.highestSeq
    let recordsChecksum = place.seed.at(place.offset)
    for (const record of records) {
      const bodyLength = bodyLengthOf(record)
      const at = this.#filled
      const header = { target: this.#scratch, at, offset, seed: place.seed }
      const headLength = encodeRecordHeader(record, bodyLength, header)
      this.#filled += headLength
      recordsChecksum = checksum(this.#scratch.subarray(at, at + headLength), recordsChecksum)
      this.#addBody(record.body, copyBelow, pieces)
      locations.push({ segment, generation, offset, headLength, bodyLength })
      offset += headLength + bodyLength
      if (record.seq > highestSeq) highestSeq = record.seq
    }
    assert(offset === place.offset + measure.bytes, 'a group as long as it was measured')
    this.#pad(bytes - measure.bytes, pieces)
    const payloadBytes = measure.bytes - groupHeaderBytes
    const recordCount = records.length
    const { number } = place
    const header = { number, payloadBytes, recordCount, highestSeq, recordsChecksum }
    writeGroupHeader(this.#scratch, header, place.seed.at(place.offset))
    return { pieces, bytes, locations, highestSeq }
  }

  #reserve(bytes: number): void {
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(bytes * 2)
    this.#filled = groupHeaderBytes
    this.#pieceStart = 0
  }

  #addBody(body: readonly Uint8Array[], copyBelow: number, pieces: Uint8Array[]): void {
    for (const piece of body) {
      if (piece.length < copyBelow) {
        this.#scratch.set(piece, this.#filled)
        this.#filled += piece.length
      } else {
        this.#endPiece(pieces)
        pieces.push(piece)
      }
    }
  }

  #pad(bytes: number, pieces: Uint8Array[]): void {
    this.#scratch.fill(0, this.#filled, this.#filled + bytes)
    this.#filled += bytes
    this.#endPiece(pieces)
    assert(pieces.length <= piecesMax, 'a group in more pieces than one write takes')
  }

  #endPiece(pieces: Uint8Array[]): void {
    if (this.#filled > this.#pieceStart) {
      pieces.push(this.#scratch.subarray(this.#pieceStart, this.#filled))
    }
    this.#pieceStart = this.#filled
  }
}

/** Which pieces of the bodies are handed over as they are, so that one write takes the group. */
function planPieces(records: readonly RecordInput[]): {
  readonly copyBelow: number
  readonly passedBytes: number
} {
  for (let copyBelow = copyBelowMin; ; copyBelow *= 2) {
    let passed = 0
    let passedBytes = 0
    for (const record of records) {
      for (const piece of record.body) {
        if (piece.length < copyBelow) continue
        passed++
        passedBytes += piece.length
      }
    }
    // Around each piece there may be one of the encoder's own.
    if (2 * passed + 1 <= piecesMax) return { copyBelow, passedBytes }
  }
}

export interface GroupHeader {
  /** Rises by one within the segment, from 1. */
  readonly number: number
  readonly payloadBytes: number
  readonly recordCount: number
  /** Highest seq of any record of the stream up to and with this group. */
  readonly highestSeq: number
  /** Over all record headers of the group. */
  readonly recordsChecksum: number
}

function writeGroupHeader(target: Buffer, header: GroupHeader, seed: number): void {
  target.writeUInt32LE(magic, 0)
  target.writeUInt32LE(header.number, 4)
  target.writeUInt32LE(header.payloadBytes, 8)
  target.writeUInt32LE(header.recordCount, 12)
  writeU64(target, header.highestSeq, 16)
  target.writeUInt32LE(header.recordsChecksum, 24)
  target.writeUInt32LE(checksum(target.subarray(0, 28), seed), 28)
}

/** The group header that begins at `at` in `bytes` and at `offset` in the segment, if one does. */
export function decodeGroupHeader(
  bytes: Buffer,
  at: number,
  place: { readonly offset: number; readonly seed: SegmentSeed },
): GroupHeader | undefined {
  if (bytes.length - at < groupHeaderBytes || bytes.readUInt32LE(at) !== magic) return undefined
  const sum = checksum(bytes.subarray(at, at + 28), place.seed.at(place.offset))
  if (bytes.readUInt32LE(at + 28) !== sum) return undefined
  return {
    number: bytes.readUInt32LE(at + 4),
    payloadBytes: bytes.readUInt32LE(at + 8),
    recordCount: bytes.readUInt32LE(at + 12),
    highestSeq: readU64(bytes, at + 16),
    recordsChecksum: bytes.readUInt32LE(at + 24),
  }
}

/** Bytes that a group takes in its segment. */
export function groupLength(header: GroupHeader): number {
  return padded(groupHeaderBytes + header.payloadBytes)
}

export interface GroupRecord extends RecordHeader {
  /** Of the record's first byte in the segment. */
  readonly offset: number
}

/**
 * All records of the group whose header stands at the start of `bytes`, headers and bodies verified,
 * or what is wrong as text. Labels and heads are views of `bytes`. With `forgivesBodies` a record counts
 * whose body is damaged: its header has what it is about, and whoever reads the body is told.
 */
export function decodeGroupRecords(
  bytes: Buffer,
  header: GroupHeader,
  place: {
    readonly offset: number
    readonly seed: SegmentSeed
    readonly forgivesBodies?: boolean
  },
): GroupRecord[] | string {
  const { seed } = place
  const end = groupHeaderBytes + header.payloadBytes
  if (end > bytes.length) return 'the segment ends inside a group'
  const payload = bytes.subarray(0, end)
  const records: GroupRecord[] = []
  let at = groupHeaderBytes
  let sum = seed.at(place.offset)
  for (let i = 0; i < header.recordCount; i++) {
    const found = groupRecordAt(payload, at, place)
    if (typeof found === 'string') return found
    const { record, mismatch } = found
    sum = checksum(payload.subarray(at, at + record.headLength), sum)
    at += record.headLength + record.bodyLength
    if (mismatch !== undefined && place.forgivesBodies !== true) return mismatch
    records.push(record)
  }
  if (at !== end) return 'a group holds more than its records'
  if (sum !== header.recordsChecksum)
    return 'the checksum over the records of a group does not match'
  return records
}

/**
 * The record that begins at `at` in a group's bytes, with what is wrong with its body; or what is wrong
 * with its header as text.
 */
export function groupRecordAt(
  payload: Buffer,
  at: number,
  place: { readonly offset: number; readonly seed: SegmentSeed },
): { readonly record: GroupRecord; readonly mismatch: string | undefined } | string {
  const { seed } = place
  const offset = place.offset + at
  const header = decodeRecordHeader(payload, at, { offset, seed })
  if (typeof header === 'string') return header
  const record = { ...header, offset }
  const bodyAt = at + header.headLength
  const end = bodyAt + header.bodyLength
  if (end > payload.length) return { record, mismatch: 'a record ends beyond its group' }
  const bytes = payload.subarray(bodyAt, end)
  const bodyOffset = offset + header.headLength
  return { record, mismatch: verifyBody(header, { bytes, firstBlock: 0, bodyOffset, seed }) }
}
