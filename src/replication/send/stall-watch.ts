/**
 * The watchdog of a link: a backlog that nothing of is acknowledged for too long is told, once, and
 * shows until something is. It changes nothing: whoever looks decides what to do.
 */
import type { Clock, Timer } from '../../base/clock.ts'

export interface StallWatchOptions {
  readonly clock: Clock
  readonly stallAfterMs: number
  readonly hasBacklog: () => boolean
  /** Nothing was acknowledged since `since`, wall ms. */
  readonly onStall: (since: number) => void
  readonly onEnd: () => void
}

export class StallWatch {
  readonly #options: StallWatchOptions
  /** Since when there is a backlog and no sign of life. */
  #since: { readonly wall: number; readonly monotonic: number } | undefined
  #isStalled = false
  #timer: Timer | undefined
  #isClosed = false

  constructor(options: StallWatchOptions) {
    this.#options = options
  }

  /** Wall ms of the last sign of life, or of the beginning of the backlog; undefined while all is well. */
  get stalledSince(): number | undefined {
    this.look()
    return this.#isStalled ? this.#since?.wall : undefined
  }

  /** A backlog may have begun or ended. */
  look(): void {
    if (!this.#options.hasBacklog()) this.#end(undefined)
    else if (this.#since === undefined) {
      this.#since = this.#now()
      this.#arm()
    }
  }

  /** A change was acknowledged, or bytes of a large one were fetched. */
  alive(): void {
    if (this.#since !== undefined) this.#end(this.#now())
    this.look()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #end(since: { readonly wall: number; readonly monotonic: number } | undefined): void {
    this.#since = since
    if (this.#isStalled) {
      this.#isStalled = false
      this.#options.onEnd()
    }
    if (since !== undefined) this.#arm()
  }

  /** The one timer stays when there are signs of life: it looks, when it goes off, how old the last is. */
  #arm(): void {
    const { clock, stallAfterMs, onStall } = this.#options
    const since = this.#since
    if (this.#timer !== undefined || this.#isStalled || this.#isClosed || since === undefined)
      return
    const left = since.monotonic + stallAfterMs - clock.monotonic()
    this.#timer = clock.after(Math.max(1, left), () => {
      this.#timer = undefined
      const last = this.#since
      if (last === undefined) return
      if (clock.monotonic() - last.monotonic < stallAfterMs) {
        this.#arm()
        return
      }
      this.#isStalled = true
      onStall(last.wall)
    })
  }

  #now(): { readonly wall: number; readonly monotonic: number } {
    const { clock } = this.#options
    return { wall: clock.now(), monotonic: clock.monotonic() }
  }
}
