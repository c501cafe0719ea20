import { zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  CompressionGate,
  packed,
  packedStream,
  unpacked,
  unpackedStream,
} from '../../src/replication/wire/compression.ts'
import { bytesOf } from '../e2e/content.ts'

const mib = 2 ** 20
const words = Buffer.from('so it goes, line after line. '.repeat(4000))
const noise = bytesOf(1, 100_000)

async function* streamOf(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}

async function collected(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of bytes) pieces.push(piece)
  return Buffer.concat(pieces)
}

describe('whether to compress', () => {
  test('is said by a sample: text pays, what is random or compressed already does not', () => {
    for (const [bytes, pays] of [
      [words, true],
      [noise, false],
      [zstdCompressSync(noise), false],
    ] as const) {
      expect(new CompressionGate('auto', 'batch').pays([bytes], bytes.length)).toBe(pays)
    }
  })

  test('is said by samples of all of it, not of its beginning', () => {
    const pieces = [noise.subarray(0, 2000), words]
    const length = 2000 + words.length
    expect(new CompressionGate('auto', 'batch').pays(pieces, length)).toBe(true)
  })

  test('is not even asked for a while after it did not pay, and longer each time', () => {
    const gate = new CompressionGate('auto', 'batch')
    let asked = 0
    for (let i = 0; i < 1000; i++) {
      if (!gate.pays([words], words.length)) continue
      asked++
      gate.learned(1000, 1000)
    }
    expect(asked).toBeGreaterThan(10)
    expect(asked).toBeLessThan(25)
    expect(gate.learned(1000, 100)).toBe(true)
  })

  test('of one object is not said by what the one before was like', () => {
    const gate = new CompressionGate('auto', 'body')
    for (let i = 0; i < 20; i++) {
      expect(gate.pays([noise], noise.length)).toBe(false)
      expect(gate.pays([words], words.length)).toBe(true)
      gate.learned(100, 10)
    }
  })

  test('is no when it is off, and for what is small', () => {
    expect(new CompressionGate('off', 'batch').pays([words], words.length)).toBe(false)
    expect(new CompressionGate('auto', 'batch').pays([words.subarray(0, 100)], 100)).toBe(false)
  })
})

describe('what was compressed', () => {
  test('comes back as it was, whole and as a stream', async () => {
    const small = await packed(words)
    expect(small.length).toBeLessThan(words.length / 10)
    expect((await unpacked(small, words.length)).equals(words)).toBe(true)
    const pieces = [words, noise, words]
    const whole = Buffer.concat(pieces)
    const stream = unpackedStream(packedStream(streamOf(...pieces)), whole.length)
    expect((await collected(stream)).equals(whole)).toBe(true)
  })

  test('keeps no more memory than its bytes would take, and of any size comes back whole', async () => {
    // Too long for the buffer that Node shares between short ones.
    const batch = words.subarray(0, 60_000)
    const small = await packed(batch)
    expect(small.buffer.byteLength).toBeLessThan(1.1 * batch.length)
    const plain = await unpacked(small, batch.length)
    expect(plain.buffer.byteLength).toBeLessThan(1.1 * batch.length)
    for (const bytes of [Buffer.of(), Buffer.of(1), noise, Buffer.concat(Array(20).fill(noise))]) {
      expect((await unpacked(await packed(bytes), bytes.length)).equals(bytes)).toBe(true)
    }
  })

  test('is refused when it has more bytes than announced, before they are there', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * mib))
    expect(bomb.length).toBeLessThan(16_384)
    const failure = { code: 'MALFORMED_BYTES' }
    await expect(unpacked(bomb, 1000)).rejects.toMatchObject(failure)
    let came = 0
    const taken = (async () => {
      for await (const piece of unpackedStream(streamOf(bomb), 1000)) came += piece.length
    })()
    await expect(taken).rejects.toMatchObject(failure)
    expect(came).toBe(0)
  })

  test('is refused when it has fewer bytes than announced, is cut or is noise', async () => {
    const small = await packed(words)
    const failure = { code: 'MALFORMED_BYTES' }
    await expect(unpacked(small, words.length + 1)).rejects.toMatchObject(failure)
    await expect(unpacked(noise, 1000)).rejects.toMatchObject(failure)
    for (const bytes of [noise, small.subarray(0, small.length - 9)]) {
      const stream = unpackedStream(streamOf(bytes), words.length)
      await expect(collected(stream)).rejects.toMatchObject(failure)
    }
  })

  test('fails with what its source fails with', async () => {
    const failure = new Error('the connection was cut')
    async function* cut(): AsyncGenerator<Uint8Array> {
      yield (await packed(words)).subarray(0, 100)
      throw failure
    }
    await expect(collected(unpackedStream(cut(), words.length))).rejects.toBe(failure)
    async function* unreadable(): AsyncGenerator<Uint8Array> {
      yield words
      throw failure
    }
    await expect(collected(packedStream(unreadable()))).rejects.toBe(failure)
  })
})
