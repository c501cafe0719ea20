/**
 * Waiting in tests of real processes: what is waited for is looked at again and again, and the wait
 * fails only when nothing has moved for a long time. The one place here where time passes.
 */
import { setTimeout as pause } from 'node:timers/promises'

/** What a look found when it is not yet what is waited for; as long as it changes, there is progress. */
export class NotYet {
  readonly where: string

  constructor(where: unknown) {
    this.where = typeof where === 'string' ? where : JSON.stringify(where)
  }
}

const lookMs = 15
const stuckMs = 60_000

/** What `look` finds at last. @throws Error when it finds the same `NotYet` for a minute */
export async function until<T>(wanted: string, look: () => Promise<T | NotYet>): Promise<T> {
  let last = ''
  let movedAt = performance.now()
  for (;;) {
    const found = await look()
    if (!(found instanceof NotYet)) return found
    if (found.where !== last) movedAt = performance.now()
    last = found.where
    if (performance.now() - movedAt > stuckMs) {
      throw new Error(`waited in vain until ${wanted}: ${last}`)
    }
    await pause(lookMs)
  }
}
