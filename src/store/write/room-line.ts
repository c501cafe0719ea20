/**
 * Those who wait for room: served in the order in which they came, for as long as something is gained.
 */
import type { Clock } from '../../base/clock.ts'

/** How long somebody waits in which nothing was gained. */
const patienceMs = 15_000

/** Runs out unless something is gained again and again. */
export class Patience {
  readonly #clock: Clock
  #until: number

  constructor(clock: Clock, from = clock.monotonic()) {
    this.#clock = clock
    this.#until = from + patienceMs
  }

  get leftMs(): number {
    return Math.max(0, this.#until - this.#clock.monotonic())
  }

  gained(): void {
    this.#until = this.#clock.monotonic() + patienceMs
  }
}

export class RoomLine {
  readonly #clock: Clock
  /** In front of whoever comes next. */
  #last: Promise<unknown> | undefined
  /** When whoever was first in line was nearer to room than ever. */
  #gainedAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isEmpty(): boolean {
    return this.#last === undefined
  }

  gained(): void {
    this.#gainedAt = this.#clock.monotonic()
  }

  /**
   * Runs `turn` when all that came before have had theirs. The time that they waited in vain counts: so
   * those who find a volume full together are told together, and not one after the other.
   */
  join<T>(turn: (patience: Patience) => Promise<T>): Promise<T> {
    const had = this.#run(turn, this.#last).finally(() => {
      if (this.#last === settled) this.#last = undefined
    })
    const settled = had.then(
      () => undefined,
      () => undefined,
    )
    this.#last = settled
    return had
  }

  async #run<T>(
    turn: (patience: Patience) => Promise<T>,
    before: Promise<unknown> | undefined,
  ): Promise<T> {
    const cameAt = this.#clock.monotonic()
    await before
    return await turn(new Patience(this.#clock, Math.max(cameAt, this.#gainedAt)))
  }
}
