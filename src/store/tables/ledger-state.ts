/**
 * One remote's position in the feed and its counters, as plain data with pure transitions. A place
 * is pending when it lies above `high`, is outstanding, or is held; everything else at or below `high`
 * is done.
 * Pending is derived (queued - replicated - failed - superseded), so the sum always holds.
 */
import { assert } from '../../base/assert.ts'
import { type ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import { HeldRemovals } from '../model/held-removals.ts'
import type { ConfirmedPeer, LedgerCounters } from '../model/object-store.ts'
import {
  decodeFilter,
  encodeFilter,
  isEverything,
  isSameFilter,
  isWanted,
  type PlaceFilter,
} from '../model/place-filter.ts'
import {
  decodeSelections,
  encodeSelections,
  type ReplaySelection,
} from '../model/replay-selection.ts'
import type { Slot } from '../model/slot.ts'
import { entryReader } from './slot-entry.ts'

/** What decides whether a place concerns a remote, and how it counts. */
export interface PlaceFacts {
  readonly seq: number
  readonly slot: Slot
  readonly bytes: number
  /** It is a delete or a purge. */
  readonly removes: boolean
  /** How many objects a purge hides, at most; a delete removes one. */
  readonly objects?: number
}

/** The link that a ledger belongs to. */
export interface LedgerLink {
  readonly epoch: number
  /** The head of the feed when the link began. */
  readonly begunAt: number
  readonly filter: PlaceFilter
}

export class LedgerState {
  #link: LedgerLink
  /** The feed was counted for this link; until then everything in it is still to be queued. */
  isFilled = false
  /** The highest place handed out. */
  high = 0
  /** Handed out and not done: seq to the time since when the slot's change waits, wall ms. */
  readonly outstanding = new Map<number, number>()
  /** Dead letters that are still about the newest change of their slot. */
  openLetters = 0
  /** Replays of selections that are under way, the first of them being walked. */
  replays: readonly ReplaySelection[] = []
  /** Deletes and purges that wait until somebody decides about them: pending, and not outstanding. */
  readonly held = new HeldRemovals()
  readonly #watchers = new Set<(place: PlaceFacts) => void>()
  /** Removed by the index batch that is being built, and by the one that is being written. */
  #removing = new Set<number>()
  #removed: ReadonlySet<number> = new Set()
  queued = 0
  replicated = 0
  failed = 0
  superseded = 0
  pendingBytes = 0
  remoteSuperseded = 0
  remoteConflicts = 0
  lastReplication: number | null = null
  confirmed: ConfirmedPeer | undefined

  constructor(link: LedgerLink) {
    this.#link = link
  }

  /** A ledger that begins behind `head`: what the feed holds up to there is still to be counted. */
  static begin(link: LedgerLink, head: number): LedgerState {
    const state = new LedgerState(link)
    state.high = head
    return state
  }

  get link(): LedgerLink {
    return this.#link
  }

  /**
   * The same link, perhaps with another filter: then everything is taken off, and is to be counted
   * anew up to `head`.
   *
   * @returns whether it was
   */
  relink(link: LedgerLink, head: number): boolean {
    assert(link.epoch === this.#link.epoch, 'another link has a ledger of its own')
    const isSame = isSameFilter(link.filter, this.#link.filter)
    this.#link = link
    if (isSame) return false
    this.superseded += this.pending
    this.pendingBytes = 0
    this.outstanding.clear()
    this.replays = []
    this.held.rewound()
    this.high = Math.max(head, this.high)
    this.isFilled = false
    return true
  }

  /** Whether every place concerns this remote. */
  get wantsEverything(): boolean {
    return this.#link.begunAt === 0 && isEverything(this.#link.filter)
  }

  /**
   * Whether the place concerns this remote. What was deleted before the link began does not: a site
   * that was cut loose and is linked again must not carry over what it deleted meanwhile.
   */
  wants(place: Pick<PlaceFacts, 'seq' | 'slot' | 'removes'>): boolean {
    if (place.removes && place.seq <= this.#link.begunAt) return false
    return isWanted(this.#link.filter, place.slot)
  }

  get pending(): number {
    return this.queued - this.replicated - this.failed - this.superseded
  }

  /** Pending and not held. */
  isPending(seq: number): boolean {
    return seq > this.high || this.outstanding.has(seq)
  }

  /** Pending, and held back. */
  isHeld(place: Pick<PlaceFacts, 'seq' | 'slot' | 'removes'>): boolean {
    const { seq, removes } = place
    if (!removes || this.isPending(seq) || (this.held.rangeOf(seq)?.count ?? 0) === 0) return false
    // A range is of places, and among them are those that concern others.
    return this.wants(place)
  }

  /** @returns whether it concerns this remote */
  placeAdded(place: PlaceFacts): boolean {
    // A record that was moved comes late in a rebuild: the place is counted when the ledger is filled.
    if (!this.isPending(place.seq) || !this.wants(place)) return false
    this.#count(place.bytes)
    return true
  }

  /** A newer mutation of the slot took the place away, or a purge did. */
  placeRemoved(place: PlaceFacts): void {
    const { seq, bytes } = place
    for (const watcher of this.#watchers) watcher(place)
    this.#removing.add(seq)
    const isHeld = this.isHeld(place)
    if (!(isHeld || this.isPending(seq)) || !this.wants(place)) return
    if (isHeld) this.held.leave(seq, place.objects ?? 1)
    this.outstanding.delete(seq)
    this.superseded++
    this.#left(bytes)
  }

  /** Places up to here were looked at, and those not handed out concern others. */
  passTo(seq: number): void {
    this.high = Math.max(this.high, seq)
  }

  take(seq: number, since: number): void {
    assert(seq > this.high, 'places are handed out in rising order')
    this.high = seq
    this.outstanding.set(seq, since)
  }

  /** Instead of being handed out it is held. */
  hold({ seq, objects = 1 }: PlaceFacts): void {
    assert(seq > this.high, 'places are handed out in rising order')
    this.high = seq
    if (this.held.rangeOf(seq) === undefined) this.held.trip(seq)
    this.held.enter(seq, objects)
  }

  /** Held no longer, but handed out. */
  unhold(place: PlaceFacts, since: number): void {
    assert(this.isHeld(place), 'only what is held is let go')
    this.held.leave(place.seq, place.objects ?? 1)
    this.outstanding.set(place.seq, since)
  }

  /** @returns false when the place was not pending any more */
  finish(seq: number, bytes: number, as: 'replicated' | 'failed' | 'superseded'): boolean {
    if (!this.outstanding.delete(seq)) return false
    this[as]++
    this.#left(bytes)
    return true
  }

  /** Puts one done place back. */
  requeue(place: { readonly seq: number; readonly bytes: number; readonly since: number }): void {
    assert(!this.isPending(place.seq), 'only a done place is queued again')
    this.outstanding.set(place.seq, place.since)
    this.#count(place.bytes)
  }

  /** Goes back so that all places above `seq` are pending; `regained` were not. */
  rewind(seq: number, regained: { readonly places: number; readonly bytes: number }): void {
    if (seq < this.high) {
      for (const place of this.outstanding.keys()) if (place > seq) this.outstanding.delete(place)
      this.high = seq
    }
    this.held.rewound()
    // Everything above is pending now: there is nothing left to select.
    for (const replay of this.replays) replay.through = Math.min(replay.through, seq)
    this.replays = this.replays.filter(({ after, through }) => after < through)
    this.queued += regained.places
    this.pendingBytes += regained.bytes
  }

  /** Every place at or below is done, and selected by no replay that is under way. */
  low(): number {
    let low = this.held.low(this.high)
    for (const { after } of this.replays) low = Math.min(low, after)
    for (const seq of this.outstanding.keys()) if (seq <= low) low = seq - 1
    return low
  }

  /** The index batch under construction is complete, which means that the one before is durable. */
  batchBuilt(): void {
    if (this.#removing.size + this.#removed.size === 0) return
    this.#removed = this.#removing
    this.#removing = new Set()
  }

  /** Places that have left the feed and may show in a snapshot of the index all the same. */
  removedUnwritten(): ReadonlySet<number> {
    return this.#removed
  }

  /** A newer mutation took the place away, and a reader of the index may not see that yet. */
  isLeaving(seq: number): boolean {
    return this.#removing.has(seq) || this.#removed.has(seq)
  }

  /** Tells of every place that leaves the feed, before it is counted; returns the way to stop. */
  watchRemovals(watcher: (place: PlaceFacts) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  counters(): LedgerCounters {
    const { open, count } = this.held
    return {
      queued: this.queued,
      replicated: this.replicated,
      failed: this.failed,
      superseded: this.superseded,
      pending: this.pending,
      pendingBytes: this.pendingBytes,
      lastReplication: this.lastReplication,
      remoteSuperseded: this.remoteSuperseded,
      remoteConflicts: this.remoteConflicts,
      openLetters: this.openLetters,
      replaying: this.replays.reduce((sum, { left }) => sum + Math.max(1, left), 0),
      held: open?.count ?? 0,
      heldObjects: open?.objects ?? 0,
      ahead: this.pending - this.outstanding.size - count,
    }
  }

  #count(bytes: number): void {
    this.queued++
    this.pendingBytes += bytes
  }

  #left(bytes: number): void {
    this.pendingBytes -= bytes
    assert(this.pending >= 0 && this.pendingBytes >= 0, 'a ledger never owes less than nothing')
  }
}

/** What may follow the outstanding places: a tag, and what belongs to it. */
const replaysTag = 1
const heldTag = 2

export function encodeLedger(state: LedgerState): Buffer {
  const writer = new ByteWriter(128 + state.outstanding.size * 2)
  const { epoch, begunAt, filter } = state.link
  writer
    .u8(1)
    .u8(state.isFilled ? 1 : 0)
    .u64(epoch)
    .u64(begunAt)
    .raw(encodeFilter(filter))
  writer.u64(state.high).u64(state.queued).u64(state.replicated).u64(state.failed)
  writer.u64(state.superseded).u64(state.pendingBytes)
  writer.u64(state.remoteSuperseded).u64(state.remoteConflicts)
  writer.u64(state.lastReplication ?? 0).u64(state.openLetters)
  const { confirmed } = state
  writer.u8(confirmed === undefined ? 0 : 2)
  if (confirmed !== undefined) {
    writer.text(confirmed.volumeId).text(confirmed.incarnation).u64(confirmed.through)
    writer.u64(confirmed.head).u64(confirmed.sendAllUpTo)
  }
  encodeOutstanding(writer, [...state.outstanding.keys()])
  if (state.replays.length > 0) encodeSelections(writer.u8(replaysTag), state.replays)
  if (!state.held.isBlank) state.held.encode(writer.u8(heldTag))
  return writer.finish()
}

/** @param sinceOf the waiting time of an outstanding place, as the feed has it */
export function decodeLedger(bytes: Uint8Array, sinceOf: (seq: number) => number): LedgerState {
  const reader = entryReader(bytes)
  const isFilled = reader.u8() === 1
  const link = { epoch: reader.u64(), begunAt: reader.u64(), filter: decodeFilter(reader) }
  const state = new LedgerState(link)
  state.isFilled = isFilled
  state.high = reader.u64()
  state.queued = reader.u64()
  state.replicated = reader.u64()
  state.failed = reader.u64()
  state.superseded = reader.u64()
  state.pendingBytes = reader.u64()
  state.remoteSuperseded = reader.u64()
  state.remoteConflicts = reader.u64()
  const last = reader.u64()
  state.lastReplication = last === 0 ? null : last
  state.openLetters = reader.u64()
  state.confirmed = decodeConfirmed(reader)
  let seq = 0
  for (let left = reader.varint(); left > 0; left--) {
    seq += reader.varint()
    state.outstanding.set(seq, sinceOf(seq))
  }
  while (reader.remaining > 0) {
    const tag = reader.u8()
    if (tag === replaysTag) state.replays = decodeSelections(reader)
    else if (tag === heldTag) state.held.decode(reader)
    else throw new MalformedBytesError(`a ledger has no part ${tag}`)
  }
  return state
}

function decodeConfirmed(reader: ByteReader): ConfirmedPeer | undefined {
  const form = reader.u8()
  if (form === 0) return undefined
  const peer = { volumeId: reader.text(), incarnation: reader.text(), through: reader.u64() }
  // Form 1 is from before the head was remembered.
  if (form === 1) return { ...peer, head: 0, sendAllUpTo: 0 }
  return { ...peer, head: reader.u64(), sendAllUpTo: reader.u64() }
}

/** Ascending, each as the distance from the one before: about a byte a place. */
function encodeOutstanding(writer: ByteWriter, outstanding: number[]): void {
  writer.varint(outstanding.length)
  if (outstanding.some((seq, at) => seq < (outstanding[at - 1] ?? 0))) {
    outstanding.sort((a, b) => a - b)
  }
  let previous = 0
  for (const seq of outstanding) {
    writer.varint(seq - previous)
    previous = seq
  }
}
