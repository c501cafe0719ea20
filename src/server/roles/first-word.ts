/**
 * What a primary that was started again waits for before it takes writes: a word of every site that
 * it had met, each of which may have been promoted while this one was away. It waits for a bounded
 * time only: a site whose peers are down must be of use.
 */
import type { Clock, Timer } from '../../base/clock.ts'

export interface FirstWordOptions {
  /** How the sites are reached: what they are heard under. */
  readonly urls: readonly string[]
  readonly waitMs: number
  readonly clock: Clock
  /** These have said nothing in time. */
  readonly onSilence: (urls: readonly string[]) => void
}

export class FirstWord {
  /** Resolves when writes need not wait any longer. */
  readonly over: Promise<void>
  readonly #missing: Set<string>
  readonly #timer: Timer
  readonly #resolve: () => void

  constructor({ urls, waitMs, clock, onSilence }: FirstWordOptions) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.over = promise
    this.#resolve = resolve
    this.#missing = new Set(urls)
    this.#timer = clock.after(waitMs, () => {
      onSilence([...this.#missing])
      this.end()
    })
  }

  heard(url: string): void {
    if (this.#missing.delete(url) && this.#missing.size === 0) this.end()
  }

  end(): void {
    this.#timer.cancel()
    this.#resolve()
  }
}
