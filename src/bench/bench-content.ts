import { type Cipheriv, createCipheriv } from 'node:crypto'

const chunkBytes = 256 * 2 ** 10
const zeros = Buffer.alloc(chunkBytes)

/**
 * What the objects of one run hold: the keystream of AES in counter mode, a different one for each
 * object. Nothing on the way can compress it, and it is made faster than any disk writes it.
 */
export class BenchContent {
  readonly #seed: Uint8Array

  /** @param seed 32 bytes */
  constructor(seed: Uint8Array) {
    this.#seed = seed
  }

  whole(index: number, size: number): Buffer {
    return this.#cipherFor(index).update(Buffer.alloc(size))
  }

  /** The same bytes as {@link whole}, in pieces. */
  *pieces(index: number, size: number): Generator<Buffer> {
    const cipher = this.#cipherFor(index)
    for (let at = 0; at < size; at += chunkBytes) {
      yield cipher.update(zeros.subarray(0, Math.min(chunkBytes, size - at)))
    }
  }

  #cipherFor(index: number): Cipheriv {
    const nonce = Buffer.alloc(16)
    nonce.writeUIntBE(index, 0, 6)
    return createCipheriv('aes-256-ctr', this.#seed, nonce)
  }
}
