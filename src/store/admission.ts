/**
 * Who may write when space is short. What has been admitted and is not on the disk yet is promised:
 * without that, a burst of writes that each fit would together eat the reserve which deletes and
 * purges need to make room again.
 */
import { type Clock, delay } from '../base/clock.ts'
import { IndexFullError, StorageFullError, StoreUnavailableError } from './errors.ts'

/** Who makes room when it is short. */
export interface RoomMaker {
  /** Frees a segment; false when there is none to be freed. */
  makeRoom(): Promise<boolean>
  /** Bytes that ordinary writes of either stream may take. */
  readonly room: number
  /** Whether cleaning can make room for so much at all. */
  canReclaim(bytes: number): boolean
  /** Makes room for so much in the background. */
  lookFor(bytes: number): void
}

/** What admission needs of the volume. */
export interface RoomView {
  readonly limits: { readonly inlineBytesMax: number }
  isRoomFor(
    bytes: number,
    options: { readonly essential: boolean; readonly leave?: number },
  ): boolean
  /** The disk of the index has hardly any room: what is left is for what gives room back. */
  isIndexShort(): boolean
  health(): { readonly writable: boolean; readonly reason: string | undefined }
}

/** What a purge needs of the reserve: deletes and the cleaner leave it that much. */
export const purgeBytes = 8192
/** Record header, label, head and the entry in the footer. */
const recordOverhead = 1024
/** Writes that wait for room; more are refused. */
const waitersMax = 1024
/** Segments that are freed for one write without any gain: what is left between records adds up. */
const vainRoundsMax = 64
/** How long a write waits for what others have been promised and may not need, or set free. */
const patienceMs = 5000

export class Admission {
  readonly #volume: RoomView
  readonly #clock: Clock
  #promised = 0
  #moving = 0
  #cleaner: RoomMaker | undefined
  /** In front of whoever comes next. */
  #line: Promise<unknown> | undefined
  #waiters = 0
  /** Aborted when a promise is released. */
  #release = new AbortController()

  constructor(volume: RoomView, clock: Clock) {
    this.#volume = volume
    this.#clock = clock
  }

  cleanedBy(cleaner: RoomMaker): void {
    this.#cleaner = cleaner
  }

  /**
   * Answered at once when there is room; else waits, behind who came before, for what can be cleaned, and
   * for a moment for writes under way, which may need less than they were promised, and make dead what
   * they replace.
   * @throws StorageFullError, IndexFullError, StoreUnavailableError: before anything is touched
   */
  admit(bytes: number): RoomPromise | Promise<RoomPromise> {
    if (this.#line === undefined && this.#hasRoom(bytes)) return this.promise(bytes)
    const takesWrites = this.#volume.health().writable && !this.#volume.isIndexShort()
    const canWait = this.#waiters < waitersMax && takesWrites
    if (canWait && (this.#promised > 0 || this.#canReclaim(bytes))) return this.#admitInLine(bytes)
    this.check(bytes)
    return this.promise(bytes)
  }

  /** Whether a write of so much has room, or can be made room for. */
  canAdmit(bytes: number): boolean {
    return this.#hasRoom(bytes) || this.#canReclaim(bytes)
  }

  /** Waits while a segment can be freed; for a write that met a full volume although it was admitted. */
  async makeRoom(): Promise<boolean> {
    return (await this.#cleaner?.makeRoom()) ?? false
  }

  /** @throws StorageFullError, IndexFullError, StoreUnavailableError */
  check(bytes: number): void {
    const { writable, reason } = this.#volume.health()
    if (!writable) throw new StoreUnavailableError(reason ?? 'the volume takes no writes')
    if (this.#hasRoom(bytes)) return
    if (this.#volume.isIndexShort()) throw new IndexFullError()
    this.#cleaner?.lookFor(this.#costOf(bytes) + this.#promised)
    throw new StorageFullError({ wanted: bytes })
  }

  /** Whether the log takes `bytes` more out of the reserve. A volume that takes no writes says so itself. */
  hasReserve(bytes: number, { leave }: { readonly leave: number }): boolean {
    if (!this.#volume.health().writable) return true
    return this.#volume.isRoomFor(bytes + this.#promised + this.#moving, { essential: true, leave })
  }

  /** Without asking: for what has been checked before. */
  promise(bytes: number): RoomPromise {
    return new RoomPromise(this.#costOf(bytes), (change) => {
      this.#promised += change
      if (change < 0) this.#wakeWaiting()
    })
  }

  /** For what is moved: it comes out of the reserve and gives back more, so only deletes make way for it. */
  promiseMove(bytes: number): RoomPromise {
    return new RoomPromise(bytes, (change) => {
      this.#moving += change
    })
  }

  #hasRoom(bytes: number): boolean {
    const wanted = this.#costOf(bytes) + this.#promised
    return !this.#volume.isIndexShort() && this.#volume.isRoomFor(wanted, { essential: false })
  }

  #canReclaim(bytes: number): boolean {
    return this.#cleaner?.canReclaim(this.#costOf(bytes) + this.#promised) ?? false
  }

  #admitInLine(bytes: number): Promise<RoomPromise> {
    this.#waiters++
    const admitted = this.#waitForRoom(bytes, this.#line).finally(() => {
      this.#waiters--
      if (this.#line === settled) this.#line = undefined
    })
    const settled = admitted.then(
      () => undefined,
      () => undefined,
    )
    this.#line = settled
    return admitted
  }

  async #waitForRoom(bytes: number, before: Promise<unknown> | undefined): Promise<RoomPromise> {
    await before
    const until = this.#clock.monotonic() + patienceMs
    let most = Number.NEGATIVE_INFINITY
    for (let vain = 0; !this.#hasRoom(bytes); ) {
      const { room = 0 } = this.#cleaner ?? {}
      vain = room > most ? 0 : vain + 1
      most = Math.max(room, most)
      if (vain <= vainRoundsMax && this.#canReclaim(bytes) && (await this.makeRoom())) continue
      const leftMs = until - this.#clock.monotonic()
      if (this.#promised === 0 || leftMs <= 0) break
      await delay(this.#clock, leftMs, this.#release.signal)
    }
    this.check(bytes)
    return this.promise(bytes)
  }

  #wakeWaiting(): void {
    if (this.#waiters === 0) return
    const release = this.#release
    this.#release = new AbortController()
    release.abort()
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
