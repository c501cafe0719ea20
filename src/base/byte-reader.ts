/**
 * Reads what {@link ByteWriter} wrote. Every read is bounded by the buffer: input that ends early or
 * does not decode throws {@link MalformedBytesError}, never a RangeError from the runtime.
 */
import { ComioError } from './errors.ts'

export class MalformedBytesError extends ComioError {
  readonly code = 'MALFORMED_BYTES'
}

const two32 = 2 ** 32
/** Most texts are short and ASCII: those are several times faster without the decoder. */
const shortTextMax = 64
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class ByteReader {
  readonly #buffer: Buffer
  #position: number

  constructor(bytes: Uint8Array, position = 0) {
    this.#buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#position = position
  }

  get position(): number {
    return this.#position
  }

  get remaining(): number {
    return this.#buffer.length - this.#position
  }

  u8(): number {
    return this.#buffer[this.#take(1)] as number
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#take(2))
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4))
  }

  u64(): number {
    const at = this.#take(8)
    const value = this.#buffer.readUInt32LE(at) + this.#buffer.readUInt32LE(at + 4) * two32
    if (!Number.isSafeInteger(value)) throw malformed('a 64-bit field is out of range')
    return value
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw malformed('a varint is out of range')
        return value
      }
      scale *= 0x80
    }
    throw malformed('a varint does not end')
  }

  /** A view of the next `length` bytes, not a copy. */
  raw(length: number): Buffer {
    const at = this.#take(length)
    return this.#buffer.subarray(at, at + length)
  }

  bytes(): Buffer {
    return this.raw(this.varint())
  }

  /** Past `length` bytes that nobody looks at: without a view of them, which costs more than they do. */
  skip(length: number): void {
    this.#take(length)
  }

  /** Past what {@link bytes} would read. */
  skipBytes(): void {
    this.#take(this.varint())
  }

  /** The next `length` bytes as lower-case hex digits. */
  hex(length: number): string {
    const at = this.#take(length)
    return this.#buffer.toString('hex', at, at + length)
  }

  /** @throws MalformedBytesError when the bytes are not UTF-8 */
  text(): string {
    const length = this.varint()
    const at = this.#take(length)
    if (length <= shortTextMax && this.#isAscii(at, length)) {
      return this.#buffer.toString('latin1', at, at + length)
    }
    try {
      return strictUtf8.decode(this.#buffer.subarray(at, at + length))
    } catch (cause) {
      throw new MalformedBytesError('a text field is not UTF-8', { cause })
    }
  }

  /** Throws unless everything was read: trailing bytes mean that writer and reader disagree. */
  end(): void {
    if (this.remaining !== 0) throw malformed(`${this.remaining} bytes are left over`)
  }

  #isAscii(at: number, length: number): boolean {
    for (let i = at; i < at + length; i++) if ((this.#buffer[i] as number) >= 0x80) return false
    return true
  }

  #take(length: number): number {
    const at = this.#position
    if (length < 0 || at + length > this.#buffer.length) {
      throw malformed(`${length} bytes wanted at ${at}, ${this.#buffer.length - at} there`)
    }
    this.#position = at + length
    return at
  }
}

function malformed(detail: string): MalformedBytesError {
  return new MalformedBytesError(`binary data does not decode: ${detail}`)
}
