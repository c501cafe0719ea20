import { crc32 } from 'node:zlib'

/** CRC-32 (ISO-HDLC, as zlib computes it) of `bytes`, continuing from `seed`. */
export function checksum(bytes: Uint8Array, seed = 0): number {
  return crc32(bytes, seed)
}
