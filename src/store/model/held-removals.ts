/**
 * Deletes and purges that a ledger holds back, as ranges of the feed: every place in one that removes
 * something and was not handed out is held. So a million held deletes cost what one costs, and what
 * else lies in a range flows on. Plain data with pure transitions, beside the position of its ledger.
 */
import { assert } from '../../base/assert.ts'
import { type ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import type { ByteWriter } from '../../base/byte-writer.ts'
import type { GuardMemory } from './take-guard.ts'

/**
 * `held`: open at its end, until somebody decides. `released`: they are being handed out. `discarded`:
 * they are being given up. The latter two end at `through`.
 */
export interface HeldRange {
  readonly kind: 'held' | 'released' | 'discarded'
  /** Nothing at or below is held by this range. */
  readonly after: number
  readonly through: number
  /** Places that are held now, and the objects that they remove. */
  readonly count: number
  readonly objects: number
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** More decisions than this under way at a time are refused. */
export const heldRangesMax = 16

const kinds = ['held', 'released', 'discarded'] as const

const freshMemory: GuardMemory = {
  windowSince: 0,
  removed: 0,
  base: 0,
  dueThrough: 0,
  markThrough: 0,
  markSince: 0,
}

export class HeldRemovals {
  #ranges: Writable<HeldRange>[] = []
  /** What the guard of the link remembers, in the same durable value as the position. */
  readonly memory: GuardMemory = { ...freshMemory }

  get ranges(): readonly HeldRange[] {
    return this.#ranges
  }

  /** The range that is open, once a limit was reached. */
  get open(): HeldRange | undefined {
    return this.#ranges.find(({ kind }) => kind === 'held')
  }

  /** Whether there is anything to be written down. */
  get isBlank(): boolean {
    return this.#ranges.length === 0 && Object.values(this.memory).every((value) => value === 0)
  }

  /** Places in all ranges together. */
  get count(): number {
    return this.#ranges.reduce((sum, { count }) => sum + count, 0)
  }

  /** The range in which a removal at `seq` is held, or goes its way without being counted. */
  rangeOf(seq: number): HeldRange | undefined {
    return this.#ranges.find(({ after, through }) => seq > after && seq <= through)
  }

  /** A limit was reached: from `seq` on all removals are held. */
  trip(seq: number): void {
    assert(this.open === undefined, 'what is held is held once')
    // The position went back to before what was decided: this range has all of it, to be decided about
    // again. Where two overlap, what one has let go would count as held in the other.
    const isBehind = ({ through }: HeldRange): boolean => through >= seq
    assert(
      !this.#ranges.some((range) => isBehind(range) && range.count > 0),
      'nothing is held ahead',
    )
    this.#ranges = this.#ranges.filter((range) => !isBehind(range))
    const through = Number.MAX_SAFE_INTEGER
    this.#ranges.push({ kind: 'held', after: seq - 1, through, count: 0, objects: 0 })
  }

  enter(seq: number, objects: number): void {
    const range = this.#at(seq)
    range.count++
    range.objects += objects
  }

  leave(seq: number, objects: number): void {
    const range = this.#at(seq)
    range.count--
    range.objects = range.count === 0 ? 0 : Math.max(0, range.objects - objects)
    assert(range.count >= 0, 'what is not held does not leave')
  }

  /** Nothing up to `seq` is held by this range any more. */
  passTo(range: HeldRange, seq: number): void {
    const found = this.#ranges.find((one) => one === range)
    assert(found !== undefined, 'only a range that is there is walked')
    found.after = Math.max(found.after, Math.min(seq, found.through))
  }

  /** What is held is decided about; what is taken above `high` is not of this range. */
  decide(kind: 'released' | 'discarded', through: number): void {
    const open = this.#ranges.find((range) => range.kind === 'held')
    if (open !== undefined) {
      open.kind = kind
      open.through = Math.max(through, open.after)
    }
    this.memory.windowSince = 0
    this.memory.removed = 0
    this.memory.base = 0
  }

  /** Removals in here that are still to be taken are given up when they are. */
  discardAhead(after: number, through: number): void {
    if (through <= after) return
    const before = this.#ranges.find(
      (range) => range.kind === 'discarded' && range.count === 0 && range.through > after,
    )
    if (before !== undefined) before.through = Math.max(before.through, through)
    else this.#ranges.push({ kind: 'discarded', after, through, count: 0, objects: 0 })
  }

  /** What was given up and is still to be taken behind `seq` is to be sent after all. */
  withdrawDiscards(seq: number): void {
    this.#ranges = this.#ranges.filter(
      ({ kind, through, count }) => kind !== 'discarded' || count > 0 || through <= seq,
    )
  }

  /** The position went back: all of it is to be taken anew. */
  rewound(): void {
    for (const range of this.#ranges) {
      range.count = 0
      range.objects = 0
    }
  }

  /** Forgets what was decided and is done. */
  prune(high: number): void {
    this.#ranges = this.#ranges.filter(
      ({ kind, after, through, count }) =>
        kind === 'held' || count > 0 || (high < through && after < through),
    )
  }

  /** Every place at or below is none of these. */
  low(high: number): number {
    return this.#ranges.reduce(
      (low, { after, count }) => (count > 0 ? Math.min(low, after) : low),
      high,
    )
  }

  #at(seq: number): Writable<HeldRange> {
    const range = this.#ranges.find(({ after, through }) => seq > after && seq <= through)
    assert(range !== undefined, 'what is held lies in a range')
    return range
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#ranges.length)
    for (const { kind, after, through, count, objects } of this.#ranges) {
      writer.u8(kinds.indexOf(kind)).u64(after).u64(through).u64(count).u64(objects)
    }
    const { windowSince, removed, base, dueThrough, markThrough, markSince } = this.memory
    writer.u64(windowSince).u64(removed).u64(base)
    writer.u64(dueThrough).u64(markThrough).u64(markSince)
  }

  /** @throws MalformedBytesError */
  decode(reader: ByteReader): void {
    for (let left = reader.varint(); left > 0; left--) {
      const kind = kinds[reader.u8()]
      if (kind === undefined) throw new MalformedBytesError('a range is held in an unknown way')
      const after = reader.u64()
      const through = reader.u64()
      this.#ranges.push({ kind, after, through, count: reader.u64(), objects: reader.u64() })
    }
    for (const field of ['windowSince', 'removed', 'base'] as const)
      this.memory[field] = reader.u64()
    for (const field of ['dueThrough', 'markThrough', 'markSince'] as const) {
      this.memory[field] = reader.u64()
    }
  }
}
