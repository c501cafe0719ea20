import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, MalformedBytesError } from '../../src/base/byte-reader.ts'
import { ByteWriter } from '../../src/base/byte-writer.ts'

const field = fc.oneof(
  fc.record({ type: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 0xff }) }),
  fc.record({ type: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 0xffff }) }),
  fc.record({ type: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
  fc.record({ type: fc.constant('u64' as const), value: fc.maxSafeNat() }),
  fc.record({ type: fc.constant('varint' as const), value: fc.maxSafeNat() }),
  fc.record({ type: fc.constant('text' as const), value: fc.string({ unit: 'grapheme' }) }),
  fc.record({ type: fc.constant('text' as const), value: fc.string({ maxLength: 200 }) }),
  fc.record({ type: fc.constant('bytes' as const), value: fc.uint8Array() }),
)

describe('the byte codec', () => {
  it('reads back every sequence of fields it wrote', () => {
    fc.assert(
      fc.property(fc.array(field), (fields) => {
        const writer = new ByteWriter(1)
        for (const { type, value } of fields) writer[type](value as never)
        const reader = new ByteReader(writer.finish())
        for (const { type, value } of fields) {
          const read = reader[type]()
          expect(read instanceof Uint8Array ? new Uint8Array(read) : read).toEqual(value)
        }
        reader.end()
      }),
    )
  })

  it('answers any cut of what it wrote with its own error', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1 }), fc.nat(), (fields, cut) => {
        const writer = new ByteWriter()
        for (const { type, value } of fields) writer[type](value as never)
        const whole = writer.finish()
        const reader = new ByteReader(whole.subarray(0, cut % whole.length))
        expect(() => {
          for (const { type } of fields) reader[type]()
        }).toThrow(MalformedBytesError)
      }),
    )
  })

  it('goes past fields that nobody reads, and not past the end', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(50), (bytes, length) => {
        const whole = new ByteWriter().bytes(bytes).raw(Buffer.alloc(length)).u8(7).finish()
        const reader = new ByteReader(whole)
        reader.skipBytes()
        reader.skip(length)
        expect(reader.u8()).toBe(7)
        reader.end()
        expect(() => reader.skip(1)).toThrow(MalformedBytesError)
        const cut = new ByteReader(whole.subarray(0, bytes.length))
        expect(() => cut.skipBytes()).toThrow(MalformedBytesError)
      }),
    )
  })

  it('never answers random bytes with an error of the runtime', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(field), (bytes, fields) => {
        const reader = new ByteReader(bytes)
        try {
          for (const { type } of fields) reader[type]()
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(MalformedBytesError)
        }
      }),
    )
  })

  it('reads back hex digits as it wrote them', () => {
    const bytes = new ByteWriter(1).hex('00ff7e1a').finish()
    expect(bytes).toHaveLength(4)
    expect(new ByteReader(bytes).hex(4)).toBe('00ff7e1a')
    expect(() => new ByteReader(bytes).hex(5)).toThrow(MalformedBytesError)
  })

  it('refuses text that is not UTF-8, and bytes that are left over', () => {
    expect(() => new ByteReader(Uint8Array.of(2, 0xc3, 0x28)).text()).toThrow(/not UTF-8/)
    expect(() => new ByteReader(Uint8Array.of(1)).end()).toThrow(/1 bytes are left over/)
  })

  it('keeps a byte order mark at the start of a text', () => {
    const written = new ByteWriter().text('\ufeffkey').finish()
    expect(new ByteReader(written).text()).toBe('\ufeffkey')
  })
})
