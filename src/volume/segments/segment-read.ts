/** Reads from a segment into a fresh buffer. */
import type { DeviceSegment } from '../../device/device.ts'

/** What reading needs of a segment. */
export type ReadableSegment = Pick<DeviceSegment, 'size' | 'read'>

/** Up to `length` bytes from `offset`, fewer where the segment ends. */
export async function readBlocks(
  handle: ReadableSegment,
  offset: number,
  length: number,
): Promise<Buffer> {
  if (length <= 0) return Buffer.alloc(0)
  const bytes = Buffer.allocUnsafe(length)
  const count = await handle.read(bytes, offset)
  return count === length ? bytes : bytes.subarray(0, count)
}
