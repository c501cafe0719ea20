/**
 * Writes little-endian binary into one growing buffer: the codecs of volume, store and wire are
 * built on it. Integers beyond 2^53 do not occur in ComIO, so 64-bit fields are numbers.
 */
import { assert } from './assert.ts'

const two32 = 2 ** 32
/** Below 0x80, so that its length is one byte. */
const shortTextMax = 64

export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafe(capacity)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    this.#ensure(1)
    this.#buffer[this.#length++] = value
    return this
  }

  u16(value: number): this {
    this.#ensure(2)
    this.#length = this.#buffer.writeUInt16LE(value, this.#length)
    return this
  }

  u32(value: number): this {
    this.#ensure(4)
    this.#length = this.#buffer.writeUInt32LE(value, this.#length)
    return this
  }

  /** An unsigned integer up to 2^53 - 1 in eight bytes. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'u64 out of range')
    this.#ensure(8)
    this.#buffer.writeUInt32LE(value % two32, this.#length)
    this.#length = this.#buffer.writeUInt32LE(Math.floor(value / two32), this.#length + 4)
    return this
  }

  /** An unsigned integer up to 2^53 - 1, seven bits to a byte, least significant first. */
  varint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'varint out of range')
    this.#ensure(8)
    let rest = value
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) + 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#length++] = rest
    return this
  }

  /** Bytes as they are; the reader must know how many. */
  raw(bytes: Uint8Array): this {
    this.#ensure(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  /** Bytes behind their length as a varint. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes)
  }

  /** Bytes given as hex digits; the reader must know how many. */
  hex(digits: string): this {
    const length = digits.length / 2
    this.#ensure(length)
    const written = this.#buffer.write(digits, this.#length, length, 'hex')
    assert(written === length, 'hex digits in pairs')
    this.#length += length
    return this
  }

  /** UTF-8 text behind its byte length as a varint. */
  text(text: string): this {
    if (text.length <= shortTextMax && this.#ascii(text)) return this
    const length = Buffer.byteLength(text)
    this.varint(length)
    this.#ensure(length)
    this.#length += this.#buffer.write(text, this.#length, length, 'utf8')
    return this
  }

  /** What was written, without a copy: the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Writes a short text if it is ASCII: most are, and two calls into native code are saved. */
  #ascii(text: string): boolean {
    const { length } = text
    this.#ensure(length + 1)
    const at = this.#length + 1
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i)
      if (unit >= 0x80) return false
      this.#buffer[at + i] = unit
    }
    this.#buffer[at - 1] = length
    this.#length = at + length
    return true
  }

  #ensure(extra: number): void {
    const needed = this.#length + extra
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}
