/**
 * A batch in the pieces in which it came, whose memory is given back once it was applied: what is small is
 * copied out of it, and large bodies are views of the pieces. One buffer for all of it would have to be
 * filled first, and be collected afterwards.
 */
import { ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { checksum } from '../../base/checksum.ts'
import { giveBack } from '../../base/give-back.ts'
import {
  bodyTags,
  changeHeadBytesMax,
  type DecodedBatch,
  type DecodedFrame,
  decodeBatchHeader,
  decodeFrame,
  decodeFrameHead,
  decodeHoldingsPart,
  frameOverheadBytes,
} from './batch-codec.ts'

/** Ids are short: no header is longer. */
const headerBytesMax = 512
/** Everything of a frame that stands before its body. */
const frontBytesMax = frameOverheadBytes + changeHeadBytesMax
/** Frames up to this size are copied whole. */
const copiedBytesMax = 8 * 1024
/** Shorter pieces are copied together: a sender that sends byte by byte must not have a buffer for each. */
const keptBytesMin = 16 * 1024

/** A body whose bytes are good until the batch was applied. */
interface PassingBody {
  readonly kind: 'passing'
  readonly pieces: readonly Uint8Array[]
  readonly length: number
}

export interface ReceivedFrame extends Omit<DecodedFrame, 'body'> {
  readonly body: DecodedFrame['body'] | PassingBody
}

/** A batch, however it came. */
export interface ReceivedBatch extends Omit<DecodedBatch, 'frames'> {
  readonly frames: readonly ReceivedFrame[]
}

export class PassingBatch {
  readonly #pieces: Uint8Array[] = []
  #gathering: Buffer | undefined
  #gathered = 0

  /** Takes over bytes, with all of the memory that they lie in. */
  add(piece: Uint8Array): void {
    const isKept = piece.length >= keptBytesMin
    if (isKept || this.#gathered + piece.length > keptBytesMin) this.#endGathering()
    if (isKept) {
      this.#pieces.push(piece)
      return
    }
    this.#gathering ??= Buffer.allocUnsafeSlow(keptBytesMin)
    this.#gathering.set(piece, this.#gathered)
    this.#gathered += piece.length
    giveBack(piece)
  }

  /**
   * Checks framing and checksums of the whole; large bodies are `passing`.
   *
   * @throws MalformedBytesError
   */
  decode(): ReceivedBatch {
    this.#endGathering()
    const reader = new PieceReader(this.#pieces)
    const start = reader.peek(headerBytesMax)
    const headerReader = new ByteReader(start)
    const { header, count } = decodeBatchHeader(headerReader, start)
    reader.views(headerReader.position)
    const frames: ReceivedFrame[] = []
    for (let i = 0; i < count; i++) frames.push(decodeFrameOf(reader))
    const { remaining } = reader
    const rest = remaining === 0 ? undefined : new ByteReader(reader.copy(remaining))
    const holdings = rest && decodeHoldingsPart(rest)
    rest?.end()
    return { header, holdings, frames }
  }

  /** Nobody looks at anything that was decoded as `passing` any more. */
  giveBack(): void {
    for (const piece of this.#pieces.splice(0)) giveBack(piece)
  }

  #endGathering(): void {
    if (this.#gathering === undefined || this.#gathered === 0) return
    const bytes = Buffer.allocUnsafeSlow(this.#gathered)
    this.#gathering.copy(bytes, 0, 0, this.#gathered)
    this.#gathered = 0
    this.#pieces.push(bytes)
  }
}

function decodeFrameOf(reader: PieceReader): ReceivedFrame {
  const length = reader.copy(4).readUInt32LE()
  if (length <= copiedBytesMax) return decodeFrame(reader.copy(length))
  const front = new ByteReader(reader.peek(Math.min(length, frontBytesMax)))
  const head = decodeFrameHead(front)
  if (front.u8() !== bodyTags.inline) {
    if (length <= frontBytesMax) return decodeFrame(reader.copy(length))
    throw new MalformedBytesError('a frame is longer than anything but its body can make it')
  }
  const bodyBytes = front.u32()
  if (front.position + bodyBytes + 4 !== length) {
    throw new MalformedBytesError('a frame has another length than its parts')
  }
  const start = reader.views(front.position)
  const pieces = reader.views(bodyBytes)
  let crc = 0
  for (const view of start) crc = checksum(view, crc)
  for (const view of pieces) crc = checksum(view, crc)
  if (crc !== reader.copy(4).readUInt32LE()) throw new MalformedBytesError('a frame is damaged')
  return { ...head, body: { kind: 'passing', pieces, length: bodyBytes } }
}

/** Reads from pieces as if they were one. @throws MalformedBytesError where they end early */
class PieceReader {
  readonly #pieces: readonly Uint8Array[]
  /** The piece that is next, and how much of it was taken. */
  #at = 0
  #taken = 0
  #remaining: number

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces
    this.#remaining = pieces.reduce((sum, { length }) => sum + length, 0)
  }

  get remaining(): number {
    return this.#remaining
  }

  /** The next bytes, up to `length`, as a copy; they stay the next ones. */
  peek(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.min(length, this.#remaining))
    let filled = 0
    for (let at = this.#at, from = this.#taken; filled < bytes.length; at++, from = 0) {
      const piece = this.#pieces[at] as Uint8Array
      const step = piece.subarray(from, from + bytes.length - filled)
      bytes.set(step, filled)
      filled += step.length
    }
    return bytes
  }

  copy(length: number): Buffer {
    const bytes = this.peek(length)
    this.views(length)
    return bytes
  }

  /** The next bytes as they lie in the pieces. */
  views(length: number): Uint8Array[] {
    if (length > this.#remaining) {
      throw new MalformedBytesError(`${length} bytes wanted, ${this.#remaining} there`)
    }
    this.#remaining -= length
    const views: Uint8Array[] = []
    for (let left = length; left > 0; ) {
      const piece = this.#pieces[this.#at] as Uint8Array
      const view = piece.subarray(this.#taken, this.#taken + left)
      left -= view.length
      this.#taken += view.length
      if (this.#taken === piece.length) {
        this.#at++
        this.#taken = 0
      }
      if (view.length > 0) views.push(view)
    }
    return views
  }
}
