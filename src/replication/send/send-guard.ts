/**
 * Stands between the feed and one remote, for the sake of mistakes: more deletes than allowed are
 * held until somebody decides, and with a delay every change waits until it is that old.
 *
 * Both go by the time that a change was made, not by the time at which it is sent: what piled up while
 * the remote was away is judged as it would have been without that. What is remembered lies in the
 * ledger, and is written with the position that it belongs to.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import type { FeedPlace } from '../../store/model/object-store.ts'
import type { GuardMemory, Removal, TakeGuard } from '../../store/model/take-guard.ts'
import { timeOf } from '../../store/model/version.ts'
import type { ReplicationOptions } from '../options.ts'

export interface SendGuardOptions {
  readonly limits: Pick<
    ReplicationOptions,
    'maxDeleteCount' | 'maxDeletePercent' | 'deleteWindowMs' | 'applyDelayMs'
  >
  readonly clock: Clock
  readonly head: () => number
  /** True for what the remote made itself: that is not sent, and counts for nothing. */
  readonly isEcho: (place: FeedPlace) => boolean
  /** What waited for its time may be due. */
  readonly onDue: () => void
  readonly onHeld: (place: FeedPlace) => void
}

/** A clock that is set meanwhile shows after so long. */
const lookEveryMs = 60_000

export class SendGuard implements TakeGuard {
  readonly #options: SendGuardOptions
  /** The first place whose time has not come, and wall ms when it does. */
  #waiting: { readonly seq: number; readonly until: number; readonly lookAt: number } | undefined
  #timer: Timer | undefined

  constructor(options: SendGuardOptions) {
    this.#options = options
  }

  /** Wall ms when the oldest of what waits for its time goes; undefined when nothing waits. */
  get waitsUntil(): number | undefined {
    return this.#waiting?.until
  }

  close(): void {
    this.#timer?.cancel()
  }

  isWaiting({ dueThrough }: GuardMemory): boolean {
    const { clock } = this.#options
    if (this.#waiting === undefined) return false
    const { seq, lookAt } = this.#waiting
    if (seq > dueThrough && clock.monotonic() < lookAt) return true
    this.#waiting = undefined
    return false
  }

  needsBase({ windowSince }: GuardMemory): boolean {
    const { limits, clock } = this.#options
    const { maxDeletePercent, deleteWindowMs } = limits
    if (maxDeletePercent === undefined) return false
    const now = clock.now()
    return windowSince === 0 || windowSince > now || now >= windowSince + deleteWindowMs
  }

  judge(
    place: FeedPlace,
    removal: Removal | undefined,
    memory: GuardMemory,
  ): 'take' | 'hold' | 'wait' {
    if (this.#mustWait(place, memory)) return 'wait'
    const { limits, isEcho } = this.#options
    const { maxDeleteCount, maxDeletePercent } = limits
    if (removal === undefined || removal.isDecided) return 'take'
    if (maxDeleteCount === undefined && maxDeletePercent === undefined) return 'take'
    return isEcho(place) || this.#isWithinLimits(place, removal, memory) ? 'take' : 'hold'
  }

  held(place: FeedPlace): void {
    this.#options.onHeld(place)
  }

  #isWithinLimits({ version }: FeedPlace, removal: Removal, memory: GuardMemory): boolean {
    const { limits, clock } = this.#options
    const { maxDeleteCount, maxDeletePercent, deleteWindowMs } = limits
    const now = Math.floor(clock.now())
    // The clock was set back: a window in the future would never end.
    memory.windowSince = Math.min(memory.windowSince, now)
    const madeAt = Math.min(timeOf(version), now)
    const isOver = memory.windowSince === 0 || madeAt >= memory.windowSince + deleteWindowMs
    // Where the objects were not counted, the window has ended just now: the next look begins the new one.
    if (isOver && (maxDeletePercent === undefined || removal.base !== undefined)) {
      memory.windowSince = Math.max(1, madeAt)
      memory.removed = 0
      memory.base = removal.base ?? 0
    }
    const removed = memory.removed + removal.objects
    if (maxDeleteCount !== undefined && removed > maxDeleteCount) return false
    if (maxDeletePercent !== undefined && removed * 100 > maxDeletePercent * memory.base)
      return false
    memory.removed = removed
    return true
  }

  /**
   * By the time in its version. A clock that was ahead and is right again leaves times in the future
   * behind, so nothing waits longer than twice the delay: what was there when the mark was set is due
   * once the mark is as old as the delay.
   */
  #mustWait({ seq, version }: FeedPlace, memory: GuardMemory): boolean {
    const { limits, clock, head } = this.#options
    const { applyDelayMs } = limits
    if (applyDelayMs === 0 || seq <= memory.dueThrough) return false
    const now = Math.floor(clock.now())
    // The clock was set back: the mark's time begins anew, its places stay.
    if (memory.markSince > now) memory.markSince = now
    if (memory.markSince === 0 || now >= memory.markSince + applyDelayMs) {
      if (memory.markSince > 0) memory.dueThrough = Math.max(memory.dueThrough, memory.markThrough)
      memory.markThrough = head()
      memory.markSince = Math.max(1, now)
    }
    const byVersion = timeOf(version) + applyDelayMs
    if (seq <= memory.dueThrough || byVersion <= now) return false
    const byMark = memory.markSince + (seq <= memory.markThrough ? 1 : 2) * applyDelayMs
    this.#waitUntil(seq, Math.min(byVersion, byMark), now)
    return true
  }

  #waitUntil(seq: number, until: number, now: number): void {
    const { clock, onDue } = this.#options
    const pause = Math.max(1, Math.min(lookEveryMs, until - now))
    this.#waiting = { seq, until, lookAt: clock.monotonic() + pause }
    this.#timer?.cancel()
    // A timer may fire a fraction of a millisecond early: then, too, the next look is a look, since none would follow it.
    this.#timer = clock.after(pause, () => {
      this.#waiting = undefined
      onDue()
    })
  }
}
