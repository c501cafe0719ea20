/**
 * What a site holds, as digests of ranges and as single slots, so that two sites can be compared
 * without either sending what it has. Everything is computed from the index when it is asked for; no
 * body is read, and nothing is kept beside the index that could disagree with it.
 */
import type { Slot } from './slot.ts'
import type { Version } from './version.ts'

/** Live objects and traces of deletions are walked apart, each in the order of the keys' bytes. */
export type SurveyTable = 'objects' | 'tombstones'

export interface SurveyRange {
  readonly table: SurveyTable
  readonly bucket: string
  /** Behind this key; empty from the start. */
  readonly after: string
  /** Up to this key, inclusive; empty to the end of the bucket. */
  readonly until: string
  /** What lies at or below this, or below the site's own floor, is absent. */
  readonly floor: Version | undefined
}

export interface RangeDigest {
  readonly count: number
  /** 32 bytes over every entry of the range, in order; undefined when there are more than asked for. */
  readonly digest: Buffer | undefined
}

/** A piece of a range that was cut, with the digest of its entries. */
export type RangePiece = SurveyRange & RangeDigest

export interface SurveyEntry {
  readonly key: string
  readonly version: Version
  /** 16 bytes over version and metadata. */
  readonly digest: Buffer
}

export interface BucketState {
  readonly bucket: string
  readonly created: Version | undefined
  readonly deleted: Version | undefined
  readonly floor: Version | undefined
}

/** A slot as it is now. What lies under the floor is absent. */
export interface SlotState {
  readonly kind: 'live' | 'deleted' | 'absent'
  /** Its place in this site's feed, 0 when absent. */
  readonly seq: number
  /** Of the bucket's register, the higher of both. */
  readonly version: Version | undefined
  /** Hex: equal for equal content. Empty when absent. */
  readonly digest: string
  readonly bytes: number
}

export interface Survey {
  /** Behind `after`, in the order of their names. */
  buckets(after: string, limit: number): Promise<readonly BucketState[]>
  /** Counts no further than `limit`. */
  digest(range: SurveyRange, limit: number): Promise<RangeDigest>
  /** The beginning of `range` cut into up to `pieces` pieces of `entries` each. */
  cut(
    range: SurveyRange,
    size: { readonly pieces: number; readonly entries: number },
  ): Promise<readonly RangePiece[]>
  list(range: SurveyRange, limit: number): Promise<readonly SurveyEntry[]>
  stateOf(slot: Slot): SlotState
}
