/** What the prototype does for a request beside node:http: about as much as a site does, and in the same places. */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

export type Method = 'GET' | 'PUT'

export const objectBytes = 4096
export const stored = Buffer.alloc(objectBytes, 'comio')

/** Of a PUT, in any thread. Returns the ETag. */
export function hashBytes(body: Uint8Array): string {
  hash('sha256', body, 'buffer')
  return hash('md5', body, 'hex')
}

/** Of a GET, in any thread: reading, verifying, headers. */
export function readBytes(): void {
  spend(4)
}

/** What only the engine may do: sequencing, log and index of a PUT; the index for a GET. */
export function runEngine(method: Method): void {
  spend(method === 'PUT' ? 20 : 4)
}

/** About `us` microseconds of a processor, of which each checksum takes one. */
function spend(us: number): void {
  for (let pass = 0; pass < us; pass++) crc32(stored)
}
