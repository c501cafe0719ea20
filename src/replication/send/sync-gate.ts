/**
 * Sync mode: holds a client's answer back until remotes have its write durably. A wait is about a
 * slot: it ends with the acknowledgement of the slot's place in the feed, or of any later place that
 * says as much (a newer write of the slot, the purge that covers it). All waits share the batches
 * that the senders make; nothing is sent for a wait's sake.
 *
 * Every wait has an end: confirmed by `min` remotes, `timeoutMs`, a remote that refuses the change or
 * wants it later, a limit that holds it back here, a remote that has been away for `timeoutMs` already, too many waits, the end of the
 * site. It must never know why a client waits, nor what it is told.
 */
import { assert } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { ChangeFeed, FeedPlace, RemoteLedger } from '../../store/model/object-store.ts'
import { type Slot, slotText } from '../../store/model/slot.ts'
import type { Settled } from './settler.ts'

export interface SyncOptions {
  /** Longest wait, and how long a remote may be away before nobody waits for it any more. */
  readonly timeoutMs: number
  /** Remotes that must have a write before it is confirmed; all that want it, when those are fewer. */
  readonly min: number
}

export const defaultSyncOptions: SyncOptions = { timeoutMs: 10_000, min: 1 }

/** What a link tells whoever waits for its remote. */
export interface LinkWatcher {
  answered(settled: readonly Settled[]): void
  /** The ledger knows now, too. */
  settled(settled: readonly Settled[]): void
  unable(place: FeedPlace, reason: 'later' | 'refused' | 'held'): void
  presence(isUp: boolean): void
}

/** Why a write is not confirmed. */
export type SyncFailure = 'timeout' | 'away' | 'later' | 'refused' | 'held' | 'crowded' | 'closing'

export type SyncVerdict =
  | { readonly confirmed: true }
  | {
      readonly confirmed: false
      readonly reason: SyncFailure
      /** Whose fault that is: one that may still confirm in time is not among them. */
      readonly failures: readonly { readonly remote: string; readonly reason: SyncFailure }[]
      /** The place that was waited for. */
      readonly seq: number
    }

export interface SyncGateOptions extends SyncOptions {
  readonly feed: Pick<ChangeFeed, 'placeOf'>
  readonly clock: Clock
  readonly waitsMax?: number
}

/** Each is an open request of a client: the listener's own bounds are lower. */
const waitsMaxDefault = 20_000

type Place = Pick<FeedPlace, 'seq' | 'slot'>

const confirmed: SyncVerdict = { confirmed: true }

interface Wait {
  readonly slot: Slot
  place: Place
  /** Confirmations that are still missing. */
  missing: number
  readonly open: Set<Remote>
  lastFailure: SyncFailure
  readonly timer: Timer
  readonly end: (verdict: SyncVerdict) => void
}

export class SyncGate {
  readonly #options: SyncGateOptions
  readonly #remotes = new Map<string, Remote>()
  readonly #waits = new Set<Wait>()
  #closed = false

  constructor(options: SyncGateOptions) {
    this.#options = options
  }

  /** Waits at this moment. */
  get waiting(): number {
    return this.#waits.size
  }

  /** Whether there is anybody to wait for. */
  get isOpen(): boolean {
    return this.#remotes.size > 0
  }

  /**
   * A remote whose acknowledgement counts; what is returned must be told of its link, which has the
   * time of a wait to greet it.
   */
  add(ledger: RemoteLedger): LinkWatcher {
    const remote = this.#remotes.get(ledger.remote) ?? new Remote(ledger)
    assert(remote.ledger === ledger, 'a remote keeps its ledger as long as it is linked')
    this.#remotes.set(remote.name, remote)
    this.#came(remote)
    this.#left(remote)
    return {
      answered: (settled) => this.#answered(remote, settled),
      settled: (settled) => this.#settled(remote, settled),
      unable: (place, reason) => this.#unable(remote, place, reason),
      presence: (isUp) => (isUp ? this.#came(remote) : this.#left(remote)),
    }
  }

  /** Its link ends, and is to be added anew: it counts as a remote that is away. */
  suspend(name: string): void {
    const remote = this.#remotes.get(name)
    if (remote !== undefined) this.#left(remote)
  }

  /** Nobody waits for it any more: it is shipped to no longer. */
  remove(name: string): void {
    const remote = this.#remotes.get(name)
    if (remote === undefined) return
    remote.timer?.cancel()
    for (const wait of remote.all()) this.#lose(wait, remote, 'away')
    this.#remotes.delete(name)
  }

  /** Whether remotes have, durably, what the slot is at this site now. */
  confirm(slot: Slot): Promise<SyncVerdict> {
    const { clock, timeoutMs, min, feed } = this.#options
    const place = this.isOpen ? feed.placeOf(slot) : undefined
    if (place === undefined) return Promise.resolve(confirmed)
    const { waitsMax = waitsMaxDefault } = this.#options
    const isCrowded = this.#waits.size >= waitsMax
    const refusal: SyncFailure | undefined = this.#closed
      ? 'closing'
      : isCrowded
        ? 'crowded'
        : undefined
    const wanting = [...this.#remotes.values()].filter(({ ledger }) => ledger.wants(place))
    if (wanting.length === 0) return Promise.resolve(confirmed)
    if (refusal !== undefined) {
      const failures = wanting.map(({ name }) => ({ remote: name, reason: refusal }))
      return Promise.resolve({ confirmed: false, reason: refusal, failures, seq: place.seq })
    }
    return new Promise((resolve) => {
      const wait: Wait = {
        slot,
        place,
        missing: Math.min(min, wanting.length),
        open: new Set(),
        lastFailure: 'timeout',
        timer: clock.after(timeoutMs, () => this.#fail(wait, 'timeout')),
        end: resolve,
      }
      this.#waits.add(wait)
      for (const remote of wanting) this.#begin(wait, remote)
      for (const remote of [...wait.open]) this.#look(wait, remote, place)
      this.#judge(wait)
    })
  }

  /** Whether every remote has made up its mind about everything up to `seq`. */
  isBehind(seq: number): boolean {
    return [...this.#remotes.values()].some(({ ledger }) => ledger.position().low < seq)
  }

  /** Ends all waits; later ones end at once. */
  close(): void {
    this.#closed = true
    for (const wait of [...this.#waits]) this.#fail(wait, 'closing')
    for (const remote of this.#remotes.values()) remote.timer?.cancel()
  }

  #begin(wait: Wait, remote: Remote): void {
    wait.open.add(remote)
    remote.enter(wait)
  }

  /** What the ledger says of the place that counts now, which may be another one than before. */
  #look(wait: Wait, remote: Remote, place = this.#options.feed.placeOf(wait.slot)): void {
    if (place === undefined) {
      this.#gain(wait, remote)
      return
    }
    if (place.seq !== wait.place.seq) {
      for (const other of wait.open) other.leave(wait)
      wait.place = place
      for (const other of wait.open) other.enter(wait)
    }
    // A newer write of the slot that is only being indexed has taken the place off the ledger already:
    // what the slot is to be has not been sent, and the wait is for the newer write now.
    if (remote.ledger.isPending(place) || remote.ledger.isLeaving(place)) {
      if (remote.isLost) this.#lose(wait, remote, 'away')
    } else if (remote.ledger.isBuried(place)) this.#lose(wait, remote, 'refused')
    else if (remote.ledger.isHeld(place)) this.#lose(wait, remote, 'held')
    else this.#gain(wait, remote)
  }

  #answered(remote: Remote, settled: readonly Settled[]): void {
    if (this.#waits.size === 0) return
    for (const { shipment, result } of settled) {
      if (result !== 'replicated') continue
      for (const wait of remote.upTo(shipment.place)) this.#gain(wait, remote)
    }
  }

  #settled(remote: Remote, settled: readonly Settled[]): void {
    if (this.#waits.size === 0) return
    for (const { shipment } of settled) {
      const { slot } = shipment.place
      for (const wait of remote.upTo(shipment.place)) this.#look(wait, remote)
      if (slot.kind !== 'floor') continue
      for (const wait of remote.inBucket(slot.bucket)) this.#look(wait, remote)
    }
  }

  #unable(remote: Remote, place: FeedPlace, reason: 'later' | 'refused' | 'held'): void {
    for (const wait of remote.upTo(place)) this.#lose(wait, remote, reason)
  }

  #came(remote: Remote): void {
    remote.timer?.cancel()
    remote.timer = undefined
    remote.isLost = false
  }

  /** Waits go on for a while: it may be back at once. */
  #left(remote: Remote): void {
    if (remote.timer !== undefined || remote.isLost || this.#closed) return
    const { clock, timeoutMs } = this.#options
    remote.timer = clock.after(timeoutMs, () => {
      remote.timer = undefined
      remote.isLost = true
      for (const wait of remote.all()) this.#lose(wait, remote, 'away')
    })
  }

  #gain(wait: Wait, remote: Remote): void {
    if (!wait.open.delete(remote)) return
    remote.leave(wait)
    wait.missing--
    this.#judge(wait)
  }

  #lose(wait: Wait, remote: Remote, reason: SyncFailure): void {
    if (!wait.open.delete(remote)) return
    remote.leave(wait)
    wait.lastFailure = reason
    remote.failed.set(wait, reason)
    this.#judge(wait)
  }

  #judge(wait: Wait): void {
    if (!this.#waits.has(wait)) return
    if (wait.missing <= 0) this.#end(wait, confirmed)
    else if (wait.open.size < wait.missing) this.#fail(wait, wait.lastFailure)
  }

  #fail(wait: Wait, reason: SyncFailure): void {
    const isOver = reason === 'timeout' || reason === 'closing'
    const failures = [...this.#remotes.values()].flatMap((remote) => {
      const own = remote.failed.get(wait) ?? (isOver && wait.open.has(remote) ? reason : undefined)
      return own === undefined ? [] : { remote: remote.name, reason: own }
    })
    this.#end(wait, { confirmed: false, reason, failures, seq: wait.place.seq })
  }

  #end(wait: Wait, verdict: SyncVerdict): void {
    assert(this.#waits.delete(wait), 'a wait ends once')
    wait.timer.cancel()
    for (const remote of wait.open) remote.leave(wait)
    for (const remote of this.#remotes.values()) remote.failed.delete(wait)
    wait.open.clear()
    wait.end(verdict)
  }
}

/** One remote, and who waits for it. */
class Remote {
  readonly ledger: RemoteLedger
  /** Waits that it has failed and that other remotes may still confirm. */
  readonly failed = new Map<Wait, SyncFailure>()
  readonly #bySlot = new Map<string, Set<Wait>>()
  /** Away for too long: nobody waits for it. */
  isLost = false
  /** Runs while it is away, until it counts as lost. */
  timer: Timer | undefined

  constructor(ledger: RemoteLedger) {
    this.ledger = ledger
  }

  get name(): string {
    return this.ledger.remote
  }

  enter(wait: Wait): void {
    const key = slotText(wait.place.slot)
    const waits = this.#bySlot.get(key)
    if (waits === undefined) this.#bySlot.set(key, new Set([wait]))
    else waits.add(wait)
  }

  leave(wait: Wait): void {
    const key = slotText(wait.place.slot)
    const waits = this.#bySlot.get(key)
    if (waits?.delete(wait) === true && waits.size === 0) this.#bySlot.delete(key)
  }

  /** Those that wait for `place` or an earlier one of its slot. */
  upTo({ slot, seq }: Place): readonly Wait[] {
    const waits = this.#bySlot.get(slotText(slot))
    return waits === undefined ? [] : [...waits].filter((wait) => wait.place.seq <= seq)
  }

  inBucket(bucket: string): readonly Wait[] {
    return this.all().filter((wait) => wait.slot.bucket === bucket)
  }

  all(): readonly Wait[] {
    return [...this.#bySlot.values()].flatMap((waits) => [...waits])
  }
}
