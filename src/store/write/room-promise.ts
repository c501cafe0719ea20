/** Room that somebody has been promised and has not used up yet. */

export interface RoomBook {
  /** So much more is promised, or less. */
  change(bytes: number): void
  /** Somebody has what he wanted, or wants nothing any more. */
  released(): void
}

export class RoomPromise {
  readonly #book: RoomBook
  #left = 0

  constructor(bytes: number, book: RoomBook) {
    this.#book = book
    this.add(bytes)
  }

  get left(): number {
    return this.#left
  }

  add(bytes: number): void {
    this.#left += bytes
    this.#book.change(bytes)
  }

  /** So many of the bytes are on the disk now. */
  spend(bytes: number): void {
    this.add(-Math.min(bytes, this.#left))
  }

  release(): void {
    if (this.#left === 0) return
    this.spend(this.#left)
    this.#book.released()
  }
}
