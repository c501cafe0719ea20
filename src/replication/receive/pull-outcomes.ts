import type { Clock } from '../../base/clock.ts'
import type { Completion, PullOutcome } from '../wire/protocol.ts'

/** Outcomes kept for one sender until it says it has them; older ones are asked for anew. */
const keptMax = 20_000
/** Completions in one answer. */
const answeredMax = 1000

/** Outcomes of pulls, until their senders have fetched them. */
export class PullOutcomes {
  readonly #clock: Clock
  readonly #bySender = new Map<string, Map<number, PullOutcome>>()
  readonly #listeners = new Set<(volumeId: string) => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(volumeId: string, seq: number, outcome: PullOutcome): void {
    let kept = this.#bySender.get(volumeId)
    if (kept === undefined) {
      kept = new Map()
      this.#bySender.set(volumeId, kept)
    }
    kept.delete(seq)
    kept.set(seq, outcome)
    for (const oldest of kept.keys()) {
      if (kept.size <= keptMax) break
      kept.delete(oldest)
    }
    for (const listener of [...this.#listeners]) listener(volumeId)
  }

  has(volumeId: string, seq: number): boolean {
    return this.#bySender.get(volumeId)?.has(seq) ?? false
  }

  forget(volumeId: string, seqs: readonly number[]): void {
    const kept = this.#bySender.get(volumeId)
    if (kept === undefined) return
    for (const seq of seqs) kept.delete(seq)
    if (kept.size === 0) this.#bySender.delete(volumeId)
  }

  /** Nobody asks for this sender's any more. */
  drop(volumeId: string): void {
    this.#bySender.delete(volumeId)
  }

  /** What is kept for a sender: at once when there is any, else when there is, or when the wait ends. */
  async wait(
    volumeId: string,
    options: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<readonly Completion[]> {
    const { waitMs, signal } = options
    if (!this.#bySender.has(volumeId) && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const finish = (): void => {
          timer.cancel()
          signal.removeEventListener('abort', finish)
          this.#listeners.delete(listener)
          resolve()
        }
        const listener = (news: string): void => {
          if (news === volumeId || news === everySender) finish()
        }
        const timer = this.#clock.after(waitMs, finish)
        signal.addEventListener('abort', finish, { once: true })
        this.#listeners.add(listener)
      })
    }
    const kept = [...(this.#bySender.get(volumeId) ?? [])].slice(0, answeredMax)
    return kept.map(([seq, outcome]) => ({ seq, outcome }))
  }

  /** Ends all waits. */
  close(): void {
    for (const listener of [...this.#listeners]) listener(everySender)
  }
}

const everySender = ''
