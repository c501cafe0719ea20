/** 64-bit fields at fixed places, as numbers: nothing in ComIO counts beyond 2^53. */
import { assert } from '../../base/assert.ts'

const two32 = 2 ** 32

export function writeU64(target: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a 64-bit field out of range')
  target.writeUInt32LE(value % two32, at)
  target.writeUInt32LE(Math.floor(value / two32), at + 4)
}

export function readU64(source: Buffer, at: number): number {
  return source.readUInt32LE(at) + source.readUInt32LE(at + 4) * two32
}
