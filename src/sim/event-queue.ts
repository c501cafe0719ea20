/**
 * Virtual time: what happens is an event at a time, and time is that of the event that runs. Events
 * of one moment run in an order that the seed decides, so that no run relies on first come, first
 * served.
 */
import { assert } from '../base/assert.ts'
import type { Timer } from '../base/clock.ts'
import type { Random } from '../base/random.ts'

interface Event {
  readonly time: number
  /** Decides among events of the same time. */
  readonly tie: number
  readonly run: () => void
  cancelled: boolean
}

/** Times are kept to the microsecond, so that events do meet. */
const ticksPerMs = 1000

export class EventQueue {
  readonly #random: Random
  /** A binary heap: each event comes before the two at twice its position. */
  readonly #heap: Event[] = []
  #ticks = 0
  #ran = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Milliseconds since the beginning of the run. */
  get time(): number {
    return this.#ticks / ticksPerMs
  }

  /** How many events have run. */
  get ran(): number {
    return this.#ran
  }

  /** Runs `run` once, `ms` milliseconds from now, unless cancelled. */
  after(ms: number, run: () => void): Timer {
    // Never early, and never at once unless at once was asked for: who waits for what is left of a
    // time must get there.
    const time = this.#ticks + Math.max(0, Math.ceil(ms * ticksPerMs))
    const event: Event = { time, tie: this.#random.fraction(), run, cancelled: false }
    this.#push(event)
    return {
      cancel() {
        event.cancelled = true
      },
    }
  }

  /** Resolves `ms` milliseconds from now. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  /** Advances to the next event and runs it; false when there is none. */
  runNext(): boolean {
    for (;;) {
      const event = this.#pop()
      if (event === undefined) return false
      if (event.cancelled) continue
      assert(event.time >= this.#ticks, 'time does not go back')
      this.#ticks = event.time
      this.#ran++
      event.run()
      return true
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    heap.push(event)
    let at = heap.length - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!comesBefore(event, heap[parent] as Event)) break
      heap[at] = heap[parent] as Event
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      if (left >= heap.length) break
      const right = left + 1
      const hasRight = right < heap.length
      const child =
        hasRight && comesBefore(heap[right] as Event, heap[left] as Event) ? right : left
      if (!comesBefore(heap[child] as Event, last)) break
      heap[at] = heap[child] as Event
      at = child
    }
    heap[at] = last
    return first
  }
}

function comesBefore(a: Event, b: Event): boolean {
  return a.time === b.time ? a.tie < b.tie : a.time < b.time
}
