import type { Clock, Timer } from '../../src/base/clock.ts'

/** Time that passes only when told to. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>()

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.#now + Math.max(0, Math.ceil(ms)), callback }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** Somebody waits for a time to come. */
  get isAwaited(): boolean {
    return this.#timers.size > 0
  }

  advance(ms: number): void {
    const end = this.#now + ms
    while (this.#fireNext(end)) {
      // Each timer may arm further ones that are due as well.
    }
    this.#now = end
  }

  /** Goes to the next timer and fires it, if it is at most `ms` away. */
  step(ms: number): boolean {
    return this.#fireNext(this.#now + ms)
  }

  #fireNext(end: number): boolean {
    let next: { readonly at: number; readonly callback: () => void } | undefined
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer
    if (next === undefined || next.at > end) return false
    this.#timers.delete(next)
    this.#now = Math.max(this.#now, next.at)
    next.callback()
    return true
  }
}

/** Lets everything run that does not wait for time. */
export async function settleTasks(rounds = 4): Promise<void> {
  for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets time pass, timer by timer, until `done` holds. */
export async function runUntil(
  clock: ManualClock,
  done: () => boolean,
  options: { readonly limitMs?: number; readonly what?: string } = {},
): Promise<void> {
  const end = clock.now() + (options.limitMs ?? 600_000)
  for (let i = 0; i < 200_000; i++) {
    await settleTasks(2)
    if (done()) return
    if (clock.now() >= end || !clock.step(60_000)) break
  }
  await settleTasks()
  if (!done()) throw new Error(`it never came true: ${options.what ?? done}`)
}
