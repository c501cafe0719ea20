import type { Clock } from '../../base/clock.ts'
import type { TransferMode } from '../options.ts'
import { acceptedParts, type HelloAnswer } from '../wire/protocol.ts'

/** A remote that could not fetch from here is given another try after this long. */
const pushForMs = 10 * 60_000

/** Whether one remote pulls large objects, or has them pushed. */
export class TransferChoice {
  readonly #mode: TransferMode
  readonly #clock: Clock
  #pushUntil = Number.NEGATIVE_INFINITY

  constructor(mode: TransferMode, clock: Clock) {
    this.#mode = mode
    this.#clock = clock
  }

  /** The remote says that it cannot fetch from the address which is announced to it. */
  unreached(): void {
    this.#pushUntil = this.#clock.monotonic() + pushForMs
  }

  /** @param answer what the remote last said of itself */
  pushes(answer: HelloAnswer | undefined): boolean {
    if (answer?.accepts?.includes(acceptedParts.push) !== true) return false
    return (
      this.#mode === 'push' || (this.#mode === 'auto' && this.#clock.monotonic() < this.#pushUntil)
    )
  }
}
