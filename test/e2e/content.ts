/** Bytes that nothing compresses and that a seed gives again, of any length, without holding them. */
import { createCipheriv, createHash } from 'node:crypto'

const pieceBytes = 256 * 1024
const zeros = Buffer.alloc(pieceBytes)

export function* piecesOf(seed: number, length: number): Generator<Buffer, void> {
  const key = createHash('sha256').update(String(seed)).digest()
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  for (let left = length; left > 0; left -= pieceBytes) {
    yield cipher.update(zeros.subarray(0, Math.min(left, pieceBytes)))
  }
}

export function bytesOf(seed: number, length: number): Buffer {
  return Buffer.concat([...piecesOf(seed, length)])
}

/** SHA-256, hex. */
export async function digestOf(
  pieces: Iterable<Buffer> | AsyncIterable<Uint8Array>,
): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}
