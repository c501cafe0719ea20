/**
 * Who may write when space is short. What has been admitted and is not on the disk yet is promised:
 * without that, a burst of writes that each fit would together eat the reserve which deletes and
 * purges need to make room again.
 */
import { StorageFullError, StoreUnavailableError } from './errors.ts'

/** What admission needs of the volume. */
export interface RoomView {
  readonly limits: { readonly inlineBytesMax: number }
  isRoomFor(
    bytes: number,
    options: { readonly essential: boolean; readonly leave?: number },
  ): boolean
  health(): { readonly writable: boolean; readonly reason: string | undefined }
}

/** Record header, label, head and the entry in the footer. */
const recordOverhead = 1024

export class Admission {
  readonly #volume: RoomView
  #promised = 0
  #onRefused: () => void = () => undefined

  constructor(volume: RoomView) {
    this.#volume = volume
  }

  /** Has somebody look for room whenever a write was refused for want of it. */
  onRefused(look: () => void): void {
    this.#onRefused = look
  }

  /** @throws StorageFullError, StoreUnavailableError: before anything is touched */
  admit(bytes: number): RoomPromise {
    this.check(bytes)
    return this.promise(bytes)
  }

  /** @throws StorageFullError, StoreUnavailableError */
  check(bytes: number): void {
    const { writable, reason } = this.#volume.health()
    if (!writable) throw new StoreUnavailableError(reason ?? 'the volume takes no writes')
    const wanted = this.#costOf(bytes) + this.#promised
    if (!this.#volume.isRoomFor(wanted, { essential: false })) {
      this.#onRefused()
      throw new StorageFullError({ wanted: bytes })
    }
  }

  /** Whether the log takes `bytes` more out of the reserve. A volume that takes no writes says so itself. */
  hasReserve(bytes: number, { leave }: { readonly leave: number }): boolean {
    if (!this.#volume.health().writable) return true
    return this.#volume.isRoomFor(bytes + this.#promised, { essential: true, leave })
  }

  /** Without asking: for what has been checked before. */
  promise(bytes: number): RoomPromise {
    return new RoomPromise(this.#costOf(bytes), (change) => {
      this.#promised += change
    })
  }

  /**
   * A group does not span segments and takes up to a quarter of one, a chunk an eighth: that much may
   * be left empty at the end of each.
   */
  #costOf(bytes: number): number {
    const inline = bytes <= this.#volume.limits.inlineBytesMax
    return Math.ceil(bytes * (inline ? 4 / 3 : 8 / 7)) + recordOverhead
  }
}

export class RoomPromise {
  readonly #change: (bytes: number) => void
  #left: number

  constructor(bytes: number, change: (bytes: number) => void) {
    this.#left = bytes
    this.#change = change
    change(bytes)
  }

  /** So many of the bytes are on the disk now. */
  spend(bytes: number): void {
    const spent = Math.min(bytes, this.#left)
    this.#left -= spent
    this.#change(-spent)
  }

  release(): void {
    this.spend(this.#left)
  }
}
