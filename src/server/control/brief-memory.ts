import type { Clock } from '../../base/clock.ts'

export interface BriefMemoryOptions<T> {
  readonly clock: Clock
  readonly ms: number
  readonly make: () => Promise<T>
}

/**
 * Makes something at most once in `ms`, however often it is asked for: for answers that cost a walk
 * and are given to everybody. Who asks while one is being made gets that one; a failure is not kept.
 */
export function rememberBriefly<T>({ clock, ms, make }: BriefMemoryOptions<T>): () => Promise<T> {
  let made: { readonly at: number; readonly value: Promise<T> } | undefined
  return async () => {
    const now = clock.monotonic()
    if (made !== undefined && now - made.at < ms) return made.value
    const current = { at: now, value: make() }
    made = current
    try {
      return await current.value
    } catch (error) {
      if (made === current) made = undefined
      throw error
    }
  }
}
