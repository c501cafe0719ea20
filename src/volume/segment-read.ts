/** Reads from a segment into a fresh buffer. */
import type { DeviceSegment } from '../device/device.ts'

/** Up to `length` bytes from `offset`, fewer where the segment ends. */
export async function readBlocks(
  handle: DeviceSegment,
  offset: number,
  length: number,
): Promise<Buffer> {
  if (length <= 0) return Buffer.alloc(0)
  const bytes = Buffer.allocUnsafe(length)
  const count = await handle.read(bytes, offset)
  return count === length ? bytes : bytes.subarray(0, count)
}
