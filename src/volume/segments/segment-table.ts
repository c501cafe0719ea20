/**
 * The segments that the volume has, in memory: found at opening, added and removed since.
 *
 * It promises that whoever names a segment by slot and generation finds just that use of it, or is told
 * that it was freed or is missing. It must never know what records are about, nor decide what is written or
 * freed.
 */
import { CorruptRecordError, StaleLocationError } from '../format/errors.ts'
import type { Location, SegmentUse } from '../format/record.ts'
import { censusOf, type SegmentCensus } from '../format/segment-census.ts'
import type { Seal, SegmentEnd, SegmentHeader } from '../format/segment-header.ts'
import type { SegmentSeed } from '../format/segment-seed.ts'
import type { RegisteredSegment } from '../format/superblock.ts'
import type { SegmentInfo, Stream } from '../format/volume-status.ts'
import { MissingSegments } from './missing-segments.ts'

export interface SegmentEntry extends SegmentUse {
  readonly stream: Stream
  /** Of all checksums in it. */
  readonly seed: SegmentSeed
  /** What its header seals. */
  readonly previous: Seal | undefined
  state: 'open' | 'sealed'
  /** Up to its end; falls when it is trimmed. */
  bytes: number
  /** Where its groups end; undefined while it is being written or before its tail was looked for. */
  end: SegmentEnd | undefined
  /** Nothing says where it ends: its groups do. */
  isEndGuessed?: boolean
  /** Whether its own footer says where it ends, and not only its successor's header. */
  hasFooter: boolean
  /** Whether a loss of power leaves that footer; undefined as long as nobody had to know. */
  footerLasts: boolean | undefined
  /** Readers and others that need it to stay. */
  pins: number
  /** Goes as soon as nothing needs it. */
  freeing: boolean
}

export function entryOf(
  header: SegmentHeader,
  found: Pick<SegmentEntry, 'seed' | 'state' | 'bytes' | 'end'>,
): SegmentEntry {
  const { segment, generation, stream, previous } = header
  const hasFooter = found.end !== undefined
  const unused = { footerLasts: undefined, pins: 0, freeing: false }
  return { segment, generation, stream, previous, ...found, hasFooter, ...unused }
}

export function isSameUse(a: SegmentUse | undefined, b: SegmentUse | undefined): boolean {
  return a !== undefined && a.segment === b?.segment && a.generation === b.generation
}

export class SegmentTable {
  readonly missing = new MissingSegments()
  readonly #bySlot = new Map<number, SegmentEntry>()
  readonly #slotBytes: number
  #highestGeneration: number
  #usedBytes = 0
  /** What `infos` answers, until something changes: it is asked for after every group. */
  #infos: readonly SegmentInfo[] | undefined

  /**
   * @param highestGeneration the highest that is known to have been given out
   * @param slotBytes what each takes of the device at least
   */
  constructor(highestGeneration: number, slotBytes = 0) {
    this.#highestGeneration = highestGeneration
    this.#slotBytes = slotBytes
  }

  get highestGeneration(): number {
    return this.#highestGeneration
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** A generation that no segment of this volume ever had. */
  takeGeneration(): number {
    return ++this.#highestGeneration
  }

  add(entry: SegmentEntry): void {
    this.#infos = undefined
    this.#bySlot.set(entry.segment, entry)
    this.#usedBytes += this.#taken(entry.bytes)
    this.#highestGeneration = Math.max(this.#highestGeneration, entry.generation)
  }

  remove(entry: SegmentEntry): void {
    this.#infos = undefined
    if (this.#bySlot.delete(entry.segment)) this.#usedBytes -= this.#taken(entry.bytes)
  }

  seal(entry: SegmentEntry): void {
    this.#infos = undefined
    entry.state = 'sealed'
  }

  resize(entry: SegmentEntry, bytes: number): void {
    this.#infos = undefined
    this.#usedBytes += this.#taken(bytes) - this.#taken(entry.bytes)
    entry.bytes = bytes
  }

  /** Whether a segment is, or should be, in the slot. */
  has(slot: number): boolean {
    return this.#bySlot.has(slot) || this.missing.keeps(slot)
  }

  find(use: SegmentUse): SegmentEntry | undefined {
    const entry = this.#bySlot.get(use.segment)
    return entry?.generation === use.generation ? entry : undefined
  }

  /** @throws StaleLocationError, CorruptRecordError when the segment is missing */
  require(use: SegmentUse | Location): SegmentEntry {
    const entry = this.#bySlot.get(use.segment)
    if (entry?.generation === use.generation) return entry
    const { segment, generation } = use
    if (this.missing.has(use)) {
      const offset = 'offset' in use ? use.offset : 0
      const mismatch = `segment ${segment} is missing`
      throw new CorruptRecordError({ segment, generation, offset, mismatch })
    }
    throw new StaleLocationError(use, entry?.generation)
  }

  /** In the order in which they were opened. */
  ofStream(stream: Stream): SegmentEntry[] {
    return this.#ordered().filter((entry) => entry.stream === stream)
  }

  infos(): readonly SegmentInfo[] {
    this.#infos ??= this.#ordered().map((entry) => {
      const { segment, generation, stream, state, hasFooter } = entry
      const bytes = this.#taken(entry.bytes)
      const filledBytes = Math.min(entry.bytes, entry.end?.validEnd ?? entry.bytes)
      return { segment, generation, stream, state, hasFooter, bytes, filledBytes }
    })
    return this.#infos
  }

  /** The segment opened after `entry` in its stream, which seals it. */
  successorOf(entry: SegmentEntry): SegmentEntry | undefined {
    for (const other of this.#bySlot.values()) {
      if (other.stream === entry.stream && isSameUse(other.previous, entry)) return other
    }
    return undefined
  }

  /** Of the segments that are there and of those that are missing, the newest first. */
  register(): readonly RegisteredSegment[] {
    const missing = this.missing.uses.map((use) => ({ ...use, stream: 'bulk' as const }))
    const there = this.#ordered().map(({ segment, generation, stream }) => {
      return { segment, generation, stream }
    })
    return [...there, ...missing].sort((a, b) => b.generation - a.generation)
  }

  /** One more than any slot that is, or should be, taken by a segment. */
  get slotsEnd(): number {
    let end = this.missing.slotsEnd
    for (const slot of this.#bySlot.keys()) end = Math.max(end, slot + 1)
    return end
  }

  /** Of the segments up to generation `through`. */
  census(through: number): Record<Stream, SegmentCensus> {
    const counted = this.#ordered().filter((entry) => entry.generation <= through)
    return {
      log: censusOf(counted.filter((entry) => entry.stream === 'log')),
      bulk: censusOf(counted.filter((entry) => entry.stream === 'bulk')),
    }
  }

  #taken(bytes: number): number {
    return Math.max(bytes, this.#slotBytes)
  }

  #ordered(): SegmentEntry[] {
    return [...this.#bySlot.values()].sort((a, b) => a.generation - b.generation)
  }
}
