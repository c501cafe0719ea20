/**
 * Batches: a header, then length-framed changes. Bodies are referenced, not copied, by the
 * encoder, and are views into the batch for the decoder.
 */
import { assert, unreachable } from '../../base/assert.ts'
import { ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import { checksum } from '../../base/checksum.ts'
import { decodeHoldings, encodeHoldings, type Holdings } from '../../store/model/holdings.ts'
import type { EncodedMutation, Mutation } from '../../store/model/mutation.ts'
import { protocolVersion, readId, ticketBytes } from './protocol.ts'

export interface BatchHeader {
  /** The receiver's session, from its handshake answer. */
  readonly session: string
  /** The sender's volume. */
  readonly volumeId: string
  readonly incarnation: string
  /** The sender's low-water mark: it needs nothing at or below it. */
  readonly through: number
}

export type FrameBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'inline'; readonly pieces: readonly Uint8Array[]; readonly length: number }
  | { readonly kind: 'offer'; readonly ticket: Uint8Array; readonly length: number }
  /** An offer whose bytes the sender is going to bring. */
  | { readonly kind: 'push'; readonly ticket: Uint8Array; readonly length: number }
  /** The receiver is asked whether it needs the bytes. */
  | { readonly kind: 'withheld'; readonly length: number }

export interface ChangeFrame {
  readonly seq: number
  readonly encoded: EncodedMutation
  readonly body: FrameBody
}

export interface DecodedFrame {
  readonly seq: number
  /** Undefined when this version of the protocol knows no such kind. */
  readonly kind: Mutation['kind'] | undefined
  readonly label: Buffer
  readonly head: Buffer
  readonly body:
    | { readonly kind: 'none' }
    | { readonly kind: 'inline'; readonly bytes: Buffer }
    | { readonly kind: 'offer' | 'push'; readonly ticket: Buffer; readonly length: number }
    | { readonly kind: 'withheld'; readonly length: number }
}

export interface DecodedBatch {
  readonly header: BatchHeader
  /** What the sender says that the receiver has all of. */
  readonly holdings: Holdings | undefined
  readonly frames: readonly DecodedFrame[]
}

/** Most changes in one batch that any receiver of version 1 accepts. */
export const batchCountMax = 10_000

/** Labels and heads of a change take no more than this. */
export const changeHeadBytesMax = 16 * 1024

/** What framing adds to a change at most, beside label, head and body. */
export const frameOverheadBytes = 4 + 8 + 1 + 8 + 8 + 1 + 4 + ticketBytes + 4

const magic = Buffer.from('COMIORB1', 'latin1')
const kindTags = { put: 1, delete: 2, purge: 3, bucket: 4 } as const
const kindsByTag: readonly (Mutation['kind'] | undefined)[] = [
  undefined,
  'put',
  'delete',
  'purge',
  'bucket',
]
export const bodyTags = { none: 0, inline: 1, offer: 2, withheld: 3, push: 4 } as const

/** The pieces of one frame, in order. */
export function encodeFrame(frame: ChangeFrame): Uint8Array[] {
  const { label, head } = frame.encoded
  const writer = new ByteWriter(label.length + head.length + frameOverheadBytes)
  writer.u32(0).u64(frame.seq).u8(kindTags[frame.encoded.kind]).bytes(label).bytes(head)
  const bodyLength = encodeBodyHead(writer, frame.body)
  const start = writer.finish()
  start.writeUInt32LE(start.length - 4 + bodyLength + 4, 0)
  let crc = checksum(start.subarray(4))
  if (frame.body.kind !== 'inline') return [start, crcBytes(crc)]
  for (const piece of frame.body.pieces) crc = checksum(piece, crc)
  return [start, ...frame.body.pieces, crcBytes(crc)]
}

/** Writes the tag and what stands before the bytes; returns how many bytes follow. */
function encodeBodyHead(writer: ByteWriter, body: FrameBody): number {
  writer.u8(bodyTags[body.kind])
  switch (body.kind) {
    case 'none':
      return 0
    case 'inline':
      writer.u32(body.length)
      return body.length
    case 'offer':
    case 'push':
      assert(body.ticket.length === ticketBytes, 'ticket length')
      writer.raw(body.ticket).u64(body.length)
      return 0
    case 'withheld':
      writer.u64(body.length)
      return 0
    default:
      return unreachable(body)
  }
}

/** `bytes` with their CRC-32 behind them. */
export function withChecksum(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, crcBytes(checksum(bytes))])
}

function crcBytes(crc: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(crc)
  return bytes
}

/** The bytes that stand before the frames. */
export function encodeBatchHeader(header: BatchHeader, count: number): Buffer {
  assert(count <= batchCountMax, 'too many changes in one batch')
  const writer = new ByteWriter(160)
  writer.raw(magic).u16(protocolVersion)
  writer.text(header.session).text(header.volumeId).text(header.incarnation)
  writer.u64(header.through).u32(count)
  return withChecksum(writer.finish())
}

/** All pieces of a batch: for tests and senders without a size to watch. */
export function encodeBatch(header: BatchHeader, frames: readonly ChangeFrame[]): Uint8Array[] {
  return [encodeBatchHeader(header, frames.length), ...frames.flatMap(encodeFrame)]
}

/**
 * Checks framing and checksums of the whole batch; whether the changes make sense is for later.
 *
 * @throws MalformedBytesError
 */
export function decodeBatch(bytes: Uint8Array): DecodedBatch {
  const reader = new ByteReader(bytes)
  const { header, count } = decodeBatchHeader(reader, bytes)
  const frames: DecodedFrame[] = []
  for (let i = 0; i < count; i++) frames.push(decodeFrame(reader.raw(reader.u32())))
  const holdings = reader.remaining === 0 ? undefined : decodeHoldingsPart(reader)
  reader.end()
  return { header, holdings, frames }
}

/** What may stand behind the frames. */
export function encodeHoldingsPart(holdings: Holdings): Buffer {
  const writer = new ByteWriter(80)
  encodeHoldings(writer, holdings)
  const bytes = withChecksum(writer.finish())
  return Buffer.concat([new ByteWriter(4).u32(bytes.length).finish(), bytes])
}

export function decodeHoldingsPart(batch: ByteReader): Holdings {
  const length = batch.u32()
  if (length < 4) throw new MalformedBytesError('the holdings of a batch are too short')
  const bytes = batch.raw(length)
  if (checksum(bytes.subarray(0, length - 4)) !== bytes.readUInt32LE(length - 4)) {
    throw new MalformedBytesError('the holdings of a batch are damaged')
  }
  const reader = new ByteReader(bytes.subarray(0, length - 4))
  const holdings = decodeHoldings(reader)
  reader.end()
  return holdings
}

export function decodeBatchHeader(
  reader: ByteReader,
  bytes: Uint8Array,
): { readonly header: BatchHeader; readonly count: number } {
  if (!reader.raw(magic.length).equals(magic)) throw new MalformedBytesError('this is no batch')
  const protocol = reader.u16()
  if (protocol !== protocolVersion) {
    throw new MalformedBytesError(`the batch has protocol ${protocol}, not ${protocolVersion}`)
  }
  const header = {
    session: readId(reader),
    volumeId: readId(reader),
    incarnation: readId(reader),
    through: reader.u64(),
  }
  const count = reader.u32()
  const crc = checksum(bytes.subarray(0, reader.position))
  if (reader.u32() !== crc) throw new MalformedBytesError('the header of a batch is damaged')
  if (count > batchCountMax) {
    throw new MalformedBytesError(`the batch names ${count} changes, at most ${batchCountMax} go`)
  }
  return { header, count }
}

/** @param bytes all behind the length */
export function decodeFrame(bytes: Buffer): DecodedFrame {
  const { length } = bytes
  if (length < 4) throw new MalformedBytesError('a frame is too short')
  if (checksum(bytes.subarray(0, length - 4)) !== bytes.readUInt32LE(length - 4)) {
    throw new MalformedBytesError('a frame is damaged')
  }
  const reader = new ByteReader(bytes.subarray(0, length - 4))
  const head = decodeFrameHead(reader)
  const body = decodeBody(reader)
  reader.end()
  return { ...head, body }
}

/** What stands before the body. */
export function decodeFrameHead(reader: ByteReader): Omit<DecodedFrame, 'body'> {
  const seq = reader.u64()
  const kind = kindsByTag[reader.u8()]
  return { seq, kind, label: reader.bytes(), head: reader.bytes() }
}

function decodeBody(reader: ByteReader): DecodedFrame['body'] {
  const tag = reader.u8()
  switch (tag) {
    case bodyTags.none:
      return { kind: 'none' }
    case bodyTags.inline:
      return { kind: 'inline', bytes: reader.raw(reader.u32()) }
    case bodyTags.offer:
    case bodyTags.push: {
      const ticket = reader.raw(ticketBytes)
      return { kind: tag === bodyTags.push ? 'push' : 'offer', ticket, length: reader.u64() }
    }
    case bodyTags.withheld:
      return { kind: 'withheld', length: reader.u64() }
    default:
      throw new MalformedBytesError(`no body has tag ${tag}`)
  }
}
