/** A segment as another thread of the process sees it: bytes, read in the calling thread, and nothing else. */
import * as fs from 'node:fs'
import type { DeviceSegment, SegmentPlace } from './device.ts'
import { readAtNow } from './file-calls.ts'

export class SegmentView implements Pick<DeviceSegment, 'readNow'> {
  readonly #fd: number
  readonly #at: number

  /** @throws the system's error */
  constructor({ path, at }: SegmentPlace) {
    this.#fd = fs.openSync(path, 'r')
    this.#at = at
  }

  /** Fewer bytes than asked for only at the end of the file. */
  readNow(target: Uint8Array, position: number): number {
    return readAtNow(this.#fd, target, this.#at + position)
  }

  close(): void {
    fs.closeSync(this.#fd)
  }
}
