/**
 * Time is passed in, never taken from the surroundings, so that the simulation owns it. This file
 * is the only place below rank 5 that touches the system's clock and timers.
 */

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall time, milliseconds since 1970. May jump either way. */
  now(): number
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonic(): number
  /** Calls `callback` once, `ms` milliseconds from now, unless cancelled. Does not keep the process alive. */
  after(ms: number, callback: () => void): Timer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const handle = setTimeout(callback, ms)
    handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
}

/** Resolves when everything that the event loop has at hand was served. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Resolves after `ms`, or at once when `signal` aborts (it does not reject: callers look at the signal). */
export function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const finish = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const timer = clock.after(ms, finish)
    signal?.addEventListener('abort', finish, { once: true })
  })
}
