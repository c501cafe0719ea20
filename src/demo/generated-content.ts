import { createHash, randomBytes } from 'node:crypto'

const poolBytes = 2 ** 20
const pieceBytes = 256 * 2 ** 10

/**
 * Bytes for generated objects: a hash and the name that it is made of, then random bytes from a
 * shared pool, from a place that depends on the hash. So every object and every version of it
 * differs, and a gigabyte costs no more than copying.
 */
export class GeneratedContent {
  readonly #pool: Buffer

  constructor() {
    this.#pool = randomBytes(poolBytes)
  }

  *pieces(label: string, size: number): Generator<Buffer> {
    const digest = createHash('md5').update(label).digest()
    const title = Buffer.from(`${digest.toString('hex')} ${label}\n`).subarray(0, size)
    yield title
    let at = digest.readUInt32LE() % poolBytes
    for (let left = size - title.length; left > 0; ) {
      const length = Math.min(left, pieceBytes, poolBytes - at)
      yield this.#pool.subarray(at, at + length)
      left -= length
      at = (at + length) % poolBytes
    }
  }
}
