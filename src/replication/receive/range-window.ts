import { assert } from '../../base/assert.ts'

/** A part of an object on its way. */
export interface PendingRange {
  /** The first byte that has not come yet. */
  readonly next: number
  /** One past the last byte. */
  readonly end: number
}

export interface RangeWindowOptions {
  /** The first byte that is missing. */
  readonly start: number
  /** Of the whole object. */
  readonly size: number
  readonly rangeBytes: number
  readonly rangesMax: number
  /**
   * Takes room in memory for bytes that come before their turn, if there is any. The range that is
   * next in turn needs none, so that every object can move whatever others hold.
   */
  readonly takeRoom: (bytes: number) => boolean
  readonly giveRoom: (bytes: number) => void
}

interface OpenRange extends PendingRange {
  next: number
  /** What it holds of the room. */
  readonly room: number
  readonly pieces: Uint8Array[]
  isFetched: boolean
}

/**
 * The ranges of one object that are fetched at the same time, and the bytes that came before their
 * turn. What has come is kept when a range fails: it goes on behind its last byte.
 */
export class RangeWindow {
  readonly #options: RangeWindowOptions
  /** Adjoining, in order. */
  #ranges: OpenRange[] = []
  /** Where the next range begins. */
  #frontier: number

  constructor(options: RangeWindowOptions) {
    this.#options = options
    this.#frontier = options.start
  }

  /** A range that nobody fetches now, the first one first; undefined when there is none to be had. */
  open(): PendingRange | undefined {
    const left = this.#ranges.find((range) => !range.isFetched && range.next < range.end)
    const range = left ?? this.#extend()
    if (range !== undefined) range.isFetched = true
    return range
  }

  /** Fetching it has ended, one way or another. */
  leave(range: PendingRange): void {
    // By then its bytes may have been taken, and the range with them.
    const own = this.#ranges.find((one) => one === range)
    if (own !== undefined) own.isFetched = false
  }

  /** The next bytes of a range. */
  put(range: PendingRange, piece: Uint8Array): void {
    const own = this.#ranges.find((one) => one === range)
    assert(own !== undefined && own.next + piece.length <= own.end, 'no range gets too many bytes')
    if (piece.length === 0) return
    own.next += piece.length
    own.pieces.push(piece)
  }

  /** The next bytes of the object, if they have come. */
  take(): Uint8Array | undefined {
    for (let head = this.#ranges[0]; head !== undefined; head = this.#ranges[0]) {
      const piece = head.pieces.shift()
      if (piece !== undefined) return piece
      if (head.next < head.end) return undefined
      this.#ranges.shift()
      this.#options.giveRoom(head.room)
    }
    return undefined
  }

  /** Forgets what has come before its turn, and gives the room back. Nobody may be fetching. */
  drop(): void {
    const [head] = this.#ranges
    for (const range of this.#ranges) {
      assert(!range.isFetched, 'nobody fetches what is dropped')
      this.#options.giveRoom(range.room)
    }
    this.#ranges = []
    if (head === undefined) return
    const untaken = head.pieces.reduce((sum, piece) => sum + piece.length, 0)
    this.#frontier = head.next - untaken
  }

  #extend(): OpenRange | undefined {
    const { size, rangeBytes, rangesMax, takeRoom } = this.#options
    const start = this.#frontier
    if (start >= size || this.#ranges.length >= rangesMax) return undefined
    const end = Math.min(size, start + rangeBytes)
    const room = this.#ranges.length === 0 ? 0 : end - start
    if (room > 0 && !takeRoom(room)) return undefined
    const range = { next: start, end, room, pieces: [], isFetched: false }
    this.#ranges.push(range)
    this.#frontier = end
    return range
  }
}
