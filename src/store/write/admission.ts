/**
 * Who may write when space is short. What has been admitted and is not on the disk yet is promised:
 * without that, a burst of writes that each fit would together eat the reserve which deletes and
 * purges need to make room again.
 *
 * Whoever has no room waits for it in line, as long as what is dead would be enough and something is
 * gained. Small writes have a line of their own: a large one that waits takes half of what is gained.
 */
import { type Clock, delay } from '../../base/clock.ts'
import { IndexFullError, StorageFullError, StoreUnavailableError } from '../model/errors.ts'
import { Patience, RoomLine } from './room-line.ts'
import { type RoomBook, RoomPromise } from './room-promise.ts'

/** Who makes room when it is short. */
export interface RoomMaker {
  /** Frees a segment; false when there is none to be freed. */
  makeRoom(): Promise<boolean>
  /** Resolves when the segment that is being cleaned is gone, or stays; undefined when none is. */
  readonly underWay: Promise<unknown> | undefined
  /** Bytes that ordinary writes of either stream may take. */
  readonly room: number
  /** The same if all that is dead were given back, which cleaning never reaches. */
  readonly roomAtMost: number
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
/** Whoever waits looks so often, also when nobody has told him that something has changed. */
const lookMs = 250

export class Admission {
  readonly #volume: RoomView
  readonly #clock: Clock
  readonly #promises: RoomBook = {
    change: (bytes) => {
      this.#promised += bytes
    },
    released: () => this.#wakeWaiting(),
  }
  readonly #moves: RoomBook = {
    change: (bytes) => {
      this.#moving += bytes
    },
    released: () => undefined,
  }
  #promised = 0
  #moving = 0
  #cleaner: RoomMaker | undefined
  readonly #smallLine: RoomLine
  readonly #largeLine: RoomLine
  #waiters = 0
  /** Aborted when a promise is released. */
  /** Of whoever waits; most of the time nobody does, and an aborted one costs an error with a stack. */
  #release: AbortController | undefined

  constructor(volume: RoomView, clock: Clock) {
    this.#volume = volume
    this.#clock = clock
    this.#smallLine = new RoomLine(clock)
    this.#largeLine = new RoomLine(clock)
  }

  cleanedBy(cleaner: RoomMaker): void {
    this.#cleaner = cleaner
  }

  /**
   * Answered at once when there is room; else waits, behind who came before, for what can be cleaned, and
   * for writes under way, which may need less than they were promised, and make dead what they replace.
   * @throws StorageFullError, IndexFullError, StoreUnavailableError: before anything is touched
   */
  admit(bytes: number): RoomPromise | Promise<RoomPromise> {
    const line = this.#isSmall(bytes) ? this.#smallLine : this.#largeLine
    if (line.isEmpty && this.#hasRoom(bytes)) return this.promise(bytes)
    if (this.#waiters < waitersMax && this.#mayFindRoom(bytes)) {
      this.#waiters++
      return line
        .join((patience) => this.#waitForRoom(bytes, { line, patience }))
        .finally(() => {
          this.#waiters--
        })
    }
    this.check(bytes)
    return this.promise(bytes)
  }

  /** Whether a write of so much has room, or can be made room for. */
  canAdmit(bytes: number): boolean {
    return this.#hasRoom(bytes) || this.#canReclaim(this.#costOf(bytes) + this.#promised)
  }

  /**
   * Waits while a segment can be freed, or something may change; for a write that met a full volume although
   * it was admitted.
   * @returns whether it is worth another try
   */
  async makeRoom(bytes = 0, patience = this.patience()): Promise<boolean> {
    if (await this.#clean()) {
      patience.gained()
      return true
    }
    if (patience.leftMs === 0 || !this.#canReclaim(this.#costOf(bytes))) return false
    await delay(this.#clock, lookMs)
    return true
  }

  /** For {@link makeRoom}, by somebody who comes again and again. */
  patience(): Patience {
    return new Patience(this.#clock)
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

  /**
   * Waits for somebody who was promised room to end, or for the next look.
   * @returns false when there is nobody, or patience has run out
   */
  async othersEnd(patience: Patience): Promise<boolean> {
    if (this.#promised === 0 || patience.leftMs === 0) return false
    await this.#change(patience)
    return true
  }

  /** Without asking: for what has been checked before. */
  promise(bytes: number): RoomPromise {
    return new RoomPromise(this.#costOf(bytes), this.#promises)
  }

  /** For what is moved: it comes out of the reserve and gives back more, so only deletes make way for it. */
  promiseMove(bytes: number): RoomPromise {
    return new RoomPromise(bytes, this.#moves)
  }

  get #takesWrites(): boolean {
    return this.#volume.health().writable && !this.#volume.isIndexShort()
  }

  get #room(): number {
    return this.#cleaner?.room ?? 0
  }

  #isSmall(bytes: number): boolean {
    return bytes <= this.#volume.limits.inlineBytesMax
  }

  #hasRoom(bytes: number): boolean {
    return !this.#volume.isIndexShort() && this.#isRoomFor(this.#costOf(bytes) + this.#promised)
  }

  #isRoomFor(cost: number): boolean {
    return this.#volume.isRoomFor(cost, { essential: false })
  }

  #canReclaim(cost: number): boolean {
    return this.#cleaner?.canReclaim(cost) ?? false
  }

  /**
   * Whether waiting is of any use: what is dead is enough, or will be when others have finished. The cleaner
   * is one of them: what it is moving counts twice until the segment goes.
   */
  #mayFindRoom(bytes: number, others = this.#promised): boolean {
    if (!this.#takesWrites) return false
    const cost = this.#costOf(bytes)
    if (this.#canReclaim(cost + others)) return true
    const isOpen = others > 0 || this.#cleaner?.underWay !== undefined
    return isOpen && cost <= (this.#cleaner?.roomAtMost ?? 0)
  }

  async #waitForRoom(
    bytes: number,
    { line, patience }: { readonly line: RoomLine; readonly patience: Patience },
  ): Promise<RoomPromise> {
    const cost = this.#costOf(bytes)
    const held = new RoomPromise(0, this.#promises)
    const gained = (): void => {
      patience.gained()
      line.gained()
    }
    let least: number | undefined
    let vain = 0
    try {
      for (;;) {
        const others = this.#promised - held.left
        if (this.#takesWrites && this.#isRoomFor(cost + others)) break
        const missing = cost + others - this.#room
        if (least !== undefined && missing < least) {
          vain = 0
          gained()
        }
        least = Math.min(missing, least ?? missing)
        if (!this.#isSmall(bytes)) this.#holdHalf(held, cost)
        if (!this.#mayFindRoom(bytes, others)) break
        if (vain < vainRoundsMax && this.#canReclaim(cost + others) && (await this.#clean())) {
          vain++
          gained()
        } else if (!(await this.#mayChange(others, patience))) break
      }
    } finally {
      held.release()
    }
    this.check(bytes)
    line.gained()
    return this.promise(bytes)
  }

  /**
   * Waits for what may change something, or for the next look.
   * @returns false when nothing may, or patience has run out
   */
  async #mayChange(others: number, patience: Patience): Promise<boolean> {
    const cleaning = this.#cleaner?.underWay
    if (patience.leftMs === 0 || (others === 0 && cleaning === undefined)) return false
    await Promise.race([this.#change(patience), ...(cleaning === undefined ? [] : [cleaning])])
    return true
  }

  async #clean(): Promise<boolean> {
    return (await this.#cleaner?.makeRoom()) ?? false
  }

  /** Of what there is for anybody: the other half is for small writes, which do not wait behind large ones. */
  #holdHalf(held: RoomPromise, cost: number): void {
    const free = Math.floor((this.#room - this.#promised) / 2)
    held.add(Math.max(0, Math.min(free, cost - held.left)))
  }

  /** Resolves when somebody has got what he wanted, or at the next look. */
  #change({ leftMs }: Patience): Promise<void> {
    this.#release ??= new AbortController()
    return delay(this.#clock, Math.min(leftMs, lookMs), this.#release.signal)
  }

  #wakeWaiting(): void {
    const release = this.#release
    this.#release = undefined
    release?.abort()
  }

  /**
   * A group does not span segments and takes up to a quarter of one, a chunk an eighth: that much may
   * be left empty at the end of each.
   */
  #costOf(bytes: number): number {
    return Math.ceil(bytes * (this.#isSmall(bytes) ? 4 / 3 : 8 / 7)) + recordOverhead
  }
}
