/** The segment that a stream is being written to: what is durable in it, and what its footer will say. */
import type { DeviceSegment } from '../../device/device.ts'
import { FooterBuilder, footerLength } from '../format/footer.ts'
import type { EncodedGroup, GroupMeasure } from '../format/group-codec.ts'
import { blockBytes, padded } from '../format/limits.ts'
import type { LogPosition, RecordInput } from '../format/record.ts'
import type { Seal, SegmentEnd } from '../format/segment-header.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'

export class OpenSegment {
  readonly entry: SegmentEntry
  readonly handle: DeviceSegment
  readonly footer = new FooterBuilder()
  /** Takes no more groups: a write failed, or its footer is (being) written. */
  closed = false
  /** A group was begun in it that failed. */
  failed = false
  /** Its footer is durable. */
  hasFooter = false
  #offset = blockBytes
  #lastGroup = 0
  #highestSeq: number

  constructor(options: {
    readonly entry: SegmentEntry
    readonly handle: DeviceSegment
    readonly highestSeq: number
  }) {
    this.entry = options.entry
    this.handle = options.handle
    this.#highestSeq = options.highestSeq
  }

  /** Where the next group goes: the end of the last durable one. */
  get offset(): number {
    return this.#offset
  }

  get lastGroup(): number {
    return this.#lastGroup
  }

  get highestSeq(): number {
    return this.#highestSeq
  }

  /** Bytes for groups, footer kept free. */
  get room(): number {
    if (this.closed) return 0
    return this.handle.size - this.#offset - footerLength(this.footer.entriesBytes)
  }

  /** The share that is filled, 0 to 1. */
  get fill(): number {
    return this.#offset / this.handle.size
  }

  get position(): LogPosition {
    const { segment, generation } = this.entry
    return { segment, generation, offset: this.#offset }
  }

  get end(): SegmentEnd {
    return { validEnd: this.#offset, lastGroup: this.#lastGroup, highestSeq: this.#highestSeq }
  }

  get seal(): Seal {
    const { segment, generation } = this.entry
    return { segment, generation, ...this.end }
  }

  fits(group: GroupMeasure): boolean {
    const footer = footerLength(this.footer.entriesBytes + group.footerBytes)
    return !this.closed && this.#offset + padded(group.bytes) + footer <= this.handle.size
  }

  /** The group is durable. */
  advance(group: EncodedGroup, records: readonly RecordInput[]): void {
    this.#offset += group.bytes
    this.#lastGroup++
    this.#highestSeq = group.highestSeq
    for (const [index, location] of group.locations.entries()) {
      const record = records[index]
      if (record === undefined) continue
      const { kind, seq, label } = record
      const { offset, headLength, bodyLength } = location
      this.footer.add({ kind, seq, label, offset, headLength, bodyLength })
    }
  }
}
