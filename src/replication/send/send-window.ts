/**
 * The window: every change that was taken from the ledger and is not yet done, at most `queueSize`
 * of them. Nothing is ever dropped for lack of room: when the window is full, the feed is not read
 * further. A place that is no longer pending leaves at once, since the newer mutation of its slot has
 * a place of its own.
 *
 * Workers take from one queue in the order of the feed, each a run of neighbours: what was written
 * together is read in one call and travels in one batch. A change belongs to the worker that takes it
 * until it is done, and so does what changes its slot meanwhile: two changes of one slot are never on
 * the wire together.
 */
import { assert } from '../../base/assert.ts'
import type { Backoff } from '../../base/backoff.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { Wakeup } from '../../base/wakeup.ts'
import {
  type FeedPlace,
  type RemoteLedger,
  volumeFullReason,
} from '../../store/model/object-store.ts'
import type { TakeGuard } from '../../store/model/take-guard.ts'
import { makeShipment, type Shipment, type ShipmentState } from './shipment.ts'

/** Places asked of the ledger at a time. */
const takeCount = 1000
/** Batches that lie ready for each worker. */
const workersAhead = 2

export interface SendWindowOptions {
  readonly ledger: RemoteLedger
  /** Decides what may be taken now. */
  readonly guard?: TakeGuard
  readonly clock: Clock
  readonly laterBackoff: Backoff
  readonly queueSize: number
  readonly workers: number
  readonly batchSize: number
  /** Bytes of bodies in a batch at most, unless one body alone exceeds it. */
  readonly batchBytes: number
  /** Larger bodies do not travel inside a batch. */
  readonly inlineLimit: number
  /** True for what the remote made itself: goes to `onEcho` instead of a queue. */
  readonly isEcho: (place: FeedPlace) => boolean
  readonly onEcho: (shipment: Shipment) => void
}

interface WorkerQueue {
  readonly worker: number
  /** Batches that go before everything else, exactly as they are: what failed and is tried again. */
  readonly groups: Shipment[][]
  /** What no other worker may take. */
  readonly own: Set<Shipment>
  readonly bell: Wakeup
}

export class SendWindow {
  readonly #options: SendWindowOptions
  readonly #shipments = new Map<number, Shipment>()
  readonly #bySlot = new Map<string, Shipment>()
  readonly #queues: readonly WorkerQueue[]
  /** For whoever is free, in the order of the feed. */
  readonly #fresh = new Set<Shipment>()
  /** Workers that wait for something to do. */
  readonly #idle = new Set<WorkerQueue>()
  readonly #counts = new Map<ShipmentState, number>()
  readonly #parked = new Map<Shipment, Timer>()
  readonly #deferred = new Set<Shipment>()
  readonly #starved = new Set<Shipment>()
  readonly #bell = new Wakeup()
  /** The feed is not read further until there is room. */
  #isFull = false
  #deferTimer: Timer | undefined
  #laterReason: string | undefined
  #drained: (() => void) | undefined
  #closed = false

  constructor(options: SendWindowOptions) {
    this.#options = options
    this.#queues = Array.from({ length: options.workers }, (_, worker) => ({
      worker,
      groups: [],
      own: new Set<Shipment>(),
      bell: new Wakeup(),
    }))
  }

  /** Changes taken and not yet done. */
  get size(): number {
    return this.#shipments.size
  }

  /** Why the remote wants some changes later; undefined when it wants none later. */
  get laterReason(): string | undefined {
    return this.#laterReason
  }

  /** The remote has no room: of what takes some, only probes are sent. Deletes may make it. */
  get isFull(): boolean {
    return this.#laterReason === volumeFullReason
  }

  count(state: ShipmentState): number {
    return this.#counts.get(state) ?? 0
  }

  /** There may be more to take: the feed advanced, or the window has room. */
  ring(): void {
    this.#bell.ring()
  }

  /** Takes places until closed; `ready` holds it back until a remote is known. */
  async run(ready: () => Promise<boolean>): Promise<void> {
    const { ledger, guard } = this.#options
    while (!this.#closed && (await ready())) {
      const room = this.#room()
      this.#isFull = room <= 0
      const places = room > 0 ? await ledger.take(Math.min(room, takeCount), guard) : []
      if (this.#closed) return
      if (places.length === 0) await this.#bell.wait()
      else {
        for (const place of places) this.#admit(place)
        this.#wakeOne()
      }
    }
  }

  /** The next changes for a worker, at most a batch: resolves empty only when closed. */
  async nextBatch(worker: number): Promise<Shipment[]> {
    const queue = this.#queues[worker] as WorkerQueue
    while (!this.#closed) {
      const batch = this.#pick(queue)
      if (batch.length > 0) return batch
      this.#idle.add(queue)
      await queue.bell.wait()
      this.#idle.delete(queue)
    }
    return []
  }

  /** Back to the front of the queue: together, as one batch. */
  requeue(shipments: readonly Shipment[]): void {
    const kept = shipments.filter((shipment) => this.#stillWanted(shipment))
    const first = kept[0]
    if (first === undefined) return
    for (const shipment of kept) this.#enter(shipment, 'queued')
    assert(first.worker !== undefined, 'what goes back was taken by a worker')
    const queue = this.#queues[first.worker] as WorkerQueue
    queue.groups.push([...kept])
    queue.bell.ring()
  }

  /** The remote wants it later: tried again after a pause, together with its like. */
  defer(shipment: Shipment, reason: string): void {
    this.#laterReason = reason
    this.#postpone(shipment)
  }

  /** A change that had been deferred has passed: so may the others. */
  endDeferral(): void {
    this.#laterReason = undefined
    this.#options.laterBackoff.reset()
    this.#release(this.#deferred, Number.POSITIVE_INFINITY)
  }

  /** Set aside for `ms`, then handed to `resume`. */
  park(shipment: Shipment, ms: number, resume: () => void): void {
    this.#enter(shipment, 'parked')
    const timer = this.#options.clock.after(ms, () => {
      this.#parked.delete(shipment)
      if (this.#stillWanted(shipment)) resume()
    })
    this.#parked.set(shipment, timer)
  }

  /** Waits until a ticket is free. */
  starve(shipment: Shipment): void {
    this.#enter(shipment, 'starved')
    this.#starved.add(shipment)
  }

  /** `count` tickets have become free. */
  feed(count: number): void {
    this.#release(this.#starved, count)
  }

  enter(shipments: readonly Shipment[], state: 'sending' | 'pulling' | 'settling'): void {
    for (const shipment of shipments) this.#enter(shipment, state)
  }

  /** They are on the wire from now on. */
  launch(shipments: readonly Shipment[]): void {
    this.#options.ledger.launched(shipments.map((shipment) => shipment.place))
    for (const shipment of shipments) shipment.launched = true
  }

  /** They are on the wire no longer. */
  land(shipments: readonly Shipment[]): void {
    const landing = shipments.filter((shipment) => shipment.launched)
    if (landing.length === 0) return
    for (const shipment of landing) shipment.launched = false
    this.#options.ledger.landed(landing.map((shipment) => shipment.place))
  }

  /**
   * No longer this window's: done, one way or another, or about to be handed out anew. Of what is still
   * pending nobody may hear that it is superseded: the remote would say so of its next offer.
   */
  drop(shipment: Shipment): void {
    if (shipment.state === 'gone') return
    this.land([shipment])
    this.#forget(shipment)
    this.#enter(shipment, 'gone')
    const isPending = this.#options.ledger.isPending(shipment.place)
    shipment.lease?.end(isPending ? 'unknown' : 'superseded')
    shipment.lease = undefined
    this.#shipments.delete(shipment.place.seq)
    this.#leaveSlot(shipment)
    this.#noteRoom()
  }

  /** Drops all that is not on the wire: the ledger hands it out anew. */
  rewind(): void {
    for (const shipment of [...this.#shipments.values()]) {
      if (!isUnderWay(shipment.state)) this.drop(shipment)
    }
    for (const queue of this.#queues) queue.groups.length = 0
    this.#bell.ring()
  }

  /** What the remote is fetching; fetching what was superseded is ended. */
  pulls(): readonly Shipment[] {
    if (this.count('pulling') === 0) return []
    return [...this.#shipments.values()].filter(
      (shipment) => shipment.state === 'pulling' && this.#stillWanted(shipment),
    )
  }

  /** Resolves when nothing is being sent or settled. One waiter at a time. */
  async drained(): Promise<void> {
    while (!this.#closed && this.count('sending') + this.count('settling') > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
      })
    }
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#parked.values()) timer.cancel()
    this.#parked.clear()
    this.#deferTimer?.cancel()
    // What was offered is not to be had any more: the remote keeps what it has, for the next offer.
    for (const { lease } of this.#shipments.values()) lease?.end('unknown')
    for (const queue of this.#queues) queue.bell.ring()
    this.#bell.ring()
    this.#drained?.()
  }

  #admit(place: FeedPlace): void {
    // Taken before a rewind and again after it, and on the wire in between: that one counts.
    if (this.#shipments.has(place.seq)) return
    const shipment = makeShipment(place)
    const older = this.#bySlot.get(shipment.slotKey)
    // What is being sent or settled ends by itself; a pull could take hours for nothing.
    const isBrief = older?.state === 'sending' || older?.state === 'settling'
    if (older !== undefined && !isBrief) this.#stillWanted(older)
    // Not `older`, if that was just dropped: what it waited for may be on the wire still.
    shipment.behind = this.#bySlot.get(shipment.slotKey)
    this.#shipments.set(place.seq, shipment)
    this.#bySlot.set(shipment.slotKey, shipment)
    this.#enter(shipment, 'queued')
    if (this.#options.isEcho(place)) {
      this.#options.onEcho(shipment)
      return
    }
    if (shipment.behind?.worker === undefined) this.#fresh.add(shipment)
    else this.#give(shipment, shipment.behind.worker)
  }

  /** What it waited for is what the slot's next change waits for, unless that is done. */
  #leaveSlot(shipment: Shipment): void {
    const { slotKey, behind } = shipment
    shipment.behind = undefined
    if (this.#bySlot.get(slotKey) !== shipment) return
    if (behind === undefined || behind.state === 'gone') this.#bySlot.delete(slotKey)
    else this.#bySlot.set(slotKey, behind)
  }

  /** Only this worker takes it. */
  #give(shipment: Shipment, worker: number): void {
    const queue = this.#queues[worker] as WorkerQueue
    shipment.worker = worker
    queue.own.add(shipment)
    queue.bell.ring()
  }

  #wakeOne(): void {
    if (this.#fresh.size === 0) return
    const [queue] = this.#idle
    if (queue === undefined) return
    this.#idle.delete(queue)
    queue.bell.ring()
  }

  /**
   * How many more places may be taken: as many as keep every worker busy, since each that is handed
   * out and not done is written with every settlement.
   */
  #room(): number {
    const { queueSize, workers, batchSize } = this.#options
    const ahead = Math.max(takeCount, workersAhead * workers * batchSize)
    return Math.min(queueSize - this.#shipments.size, ahead - this.#fresh.size)
  }

  #pick(queue: WorkerQueue): Shipment[] {
    for (let group = queue.groups.shift(); group !== undefined; group = queue.groups.shift()) {
      const live = group.filter((shipment) => this.#stillWanted(shipment))
      if (live.length > 0) return live
    }
    const batch: Shipment[] = []
    this.#fill(batch, queue.own)
    this.#fill(batch, this.#fresh)
    for (const shipment of batch) shipment.worker = queue.worker
    this.#wakeOne()
    this.#noteRoom()
    return batch
  }

  /** Reading on was stopped for lack of room: there may be some now. */
  #noteRoom(): void {
    if (!this.#isFull || this.#room() <= 0) return
    this.#isFull = false
    this.#bell.ring()
  }

  #fill(batch: Shipment[], from: Set<Shipment>): void {
    const { batchSize, batchBytes, inlineLimit } = this.#options
    const weightOf = ({ place }: Shipment): number => (place.bytes > inlineLimit ? 0 : place.bytes)
    let bytes = batch.reduce((sum, shipment) => sum + weightOf(shipment), 0)
    for (const shipment of from) {
      const weight = weightOf(shipment)
      if (batch.length >= batchSize || (bytes > 0 && bytes + weight > batchBytes)) break
      from.delete(shipment)
      if (!this.#stillWanted(shipment)) continue
      if (this.isFull && shipment.place.bytes > 0 && !shipment.probe) {
        this.#postpone(shipment)
        continue
      }
      bytes += weight
      batch.push(shipment)
    }
  }

  /** False, and dropped, when a newer mutation has taken the slot. */
  #stillWanted(shipment: Shipment): boolean {
    if (shipment.state === 'gone' || this.#closed) return false
    if (this.#options.ledger.isPending(shipment.place)) return true
    this.drop(shipment)
    return false
  }

  /** Lets up to `count` of `waiting` go to their queues; tells how many went. */
  #release(waiting: Set<Shipment>, count: number): number {
    let released = 0
    for (const shipment of waiting) {
      if (released >= count) break
      waiting.delete(shipment)
      if (!this.#stillWanted(shipment)) continue
      released++
      shipment.probe = waiting === this.#deferred
      this.#enter(shipment, 'queued')
      shipment.worker = undefined
      this.#fresh.add(shipment)
    }
    this.#wakeOne()
    return released
  }

  #postpone(shipment: Shipment): void {
    shipment.probe = false
    this.#enter(shipment, 'deferred')
    this.#deferred.add(shipment)
    this.#armDeferTimer()
  }

  #armDeferTimer(): void {
    if (this.#deferTimer !== undefined || this.#closed) return
    const { clock, laterBackoff, batchSize } = this.#options
    this.#deferTimer = clock.after(laterBackoff.next(), () => {
      this.#deferTimer = undefined
      // A batch of the oldest goes as a probe, not all: bodies sent to a full remote are wasted.
      const released = this.#release(this.#deferred, batchSize)
      if (released > 0 || this.#deferred.size > 0) this.#armDeferTimer()
      else this.#laterReason = undefined
    })
  }

  #forget(shipment: Shipment): void {
    this.#parked.get(shipment)?.cancel()
    this.#parked.delete(shipment)
    this.#deferred.delete(shipment)
    this.#starved.delete(shipment)
    this.#fresh.delete(shipment)
    if (shipment.worker !== undefined) this.#queues[shipment.worker]?.own.delete(shipment)
  }

  #enter(shipment: Shipment, state: ShipmentState): void {
    const before = shipment.state
    if (before === state || before === 'gone') return
    if (before !== 'new') this.#counts.set(before, this.count(before) - 1)
    if (state !== 'gone') this.#counts.set(state, this.count(state) + 1)
    shipment.state = state
    if (this.count('sending') + this.count('settling') === 0) this.#drained?.()
  }
}

function isUnderWay(state: ShipmentState): boolean {
  return state === 'sending' || state === 'pulling' || state === 'settling'
}
