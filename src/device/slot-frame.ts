/**
 * A frame is a small piece of the slot device's own data that is replaced as a whole. It is stored
 * twice, and always the older copy is overwritten, once the newer one is known to be durable: whatever
 * a crash does to the copy that is being written, the other one is whole. The checksum is seeded with
 * the device's id, so that nothing of an earlier device in the same place checks out.
 */
import { assert } from '../base/assert.ts'
import { checksum } from '../base/checksum.ts'
import { CorruptDeviceError, DeviceTooNewError } from './errors.ts'
import type { BackingHandle } from './slot-backing.ts'

export const blockBytes = 4096
export const frameHeaderBytes = 32
const slotFormatVersion = 1

const magic = Buffer.from('COMIODEV', 'latin1')

/** Stored as its number. */
export const frameKinds = { label: 1, superblock: 2, table: 3, files: 4 } as const
export type FrameKind = keyof typeof frameKinds

export interface FramePlace {
  readonly kind: FrameKind
  /** Tells frames of one kind apart. */
  readonly index: number
  /** Of the whole frame, header included. */
  readonly bytes: number
  /** Where its two copies are. */
  readonly copies: readonly [number, number]
}

interface Found {
  readonly sequence: number
  readonly payload: Buffer
}

export class TwinFrame {
  readonly #handle: BackingHandle
  readonly #device: { readonly name: string; readonly id: Uint8Array }
  readonly #place: FramePlace
  /** The newest copy that is known to be durable. */
  #current: 0 | 1 = 1
  /** Of the newest copy that was ever begun. */
  #sequence = 0
  #payload: Buffer | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(
    handle: BackingHandle,
    device: { readonly name: string; readonly id: Uint8Array },
    place: FramePlace,
  ) {
    assert(place.bytes % blockBytes === 0, 'a frame of whole blocks')
    this.#handle = handle
    this.#device = device
    this.#place = place
  }

  /** What was stored last; undefined before the first time. */
  get payload(): Buffer | undefined {
    return this.#payload
  }

  /** @throws CorruptDeviceError, DeviceTooNewError */
  async load(): Promise<void> {
    const copies = await Promise.all(this.#place.copies.map((at) => this.#read(at)))
    const [first, second] = copies
    for (const [index, copy] of copies.entries()) {
      if (typeof copy === 'string' || copy === undefined || copy.sequence <= this.#sequence)
        continue
      this.#current = index === 0 ? 0 : 1
      this.#sequence = copy.sequence
      this.#payload = copy.payload
    }
    // A first write that was cut off leaves zeros in the other place.
    if (first !== 'broken' || second !== 'broken') return
    const { kind, index } = this.#place
    throw new CorruptDeviceError(
      this.#device.name,
      `both copies of its ${kind} ${index} are damaged`,
    )
  }

  /**
   * Durable when resolved; until then, and after a failure, the old one holds. One after the other:
   * `make` is called when those before are through, `stored` before those behind begin.
   */
  replace(make: () => Uint8Array, stored: () => void = () => undefined): Promise<void> {
    const step = async (): Promise<void> => {
      const payload = Buffer.from(make())
      const target = this.#current === 0 ? 1 : 0
      this.#sequence++
      const bytes = encodeFrame(this.#place, this.#device.id, { sequence: this.#sequence, payload })
      await this.#handle.write([bytes], this.#place.copies[target])
      this.#current = target
      this.#payload = payload
      stored()
    }
    const replaced = this.#last.then(step, step)
    // The caller gets the failure; here it only marks the turn as over.
    this.#last = replaced.catch(() => undefined)
    return replaced
  }

  async #read(at: number): Promise<Found | 'broken' | undefined> {
    const bytes = Buffer.alloc(this.#place.bytes)
    await this.#handle.read(bytes, at)
    return decodeFrame(bytes, this.#place, this.#device)
  }
}

export function encodeFrame(
  place: Pick<FramePlace, 'kind' | 'index' | 'bytes'>,
  deviceId: Uint8Array,
  { sequence, payload }: Found,
): Buffer {
  assert(frameHeaderBytes + payload.length <= place.bytes, 'a payload that fits into its frame')
  const bytes = Buffer.alloc(place.bytes)
  bytes.set(magic)
  bytes.writeUInt16LE(slotFormatVersion, 8)
  bytes[10] = frameKinds[place.kind]
  bytes.writeUInt32LE(place.index, 12)
  bytes.writeUIntLE(sequence, 16, 6)
  bytes.writeUInt32LE(payload.length, 24)
  bytes.set(payload, frameHeaderBytes)
  bytes.writeUInt32LE(sumOf(bytes, payload.length, deviceId), 28)
  return bytes
}

/** Undefined for zeros, where nothing was written yet. @throws DeviceTooNewError */
function decodeFrame(
  bytes: Buffer,
  place: FramePlace,
  device: { readonly name: string; readonly id: Uint8Array },
): Found | 'broken' | undefined {
  if (!startsAsFrame(bytes)) return bytes.some((byte) => byte !== 0) ? 'broken' : undefined
  const length = bytes.readUInt32LE(24)
  if (frameHeaderBytes + length > bytes.length) return 'broken'
  if (bytes.readUInt32LE(28) !== sumOf(bytes, length, device.id)) return 'broken'
  const version = bytes.readUInt16LE(8)
  if (version > slotFormatVersion) throw new DeviceTooNewError(device.name, version)
  if (bytes[10] !== frameKinds[place.kind] || bytes.readUInt32LE(12) !== place.index)
    return 'broken'
  const payload = bytes.subarray(frameHeaderBytes, frameHeaderBytes + length)
  return { sequence: bytes.readUIntLE(16, 6), payload }
}

export function startsAsFrame(bytes: Uint8Array): boolean {
  return magic.equals(bytes.subarray(0, magic.length))
}

function sumOf(bytes: Buffer, length: number, deviceId: Uint8Array): number {
  const header = checksum(bytes.subarray(0, 28), checksum(deviceId))
  return checksum(bytes.subarray(frameHeaderBytes, frameHeaderBytes + length), header)
}
