/** What goes into a volume and comes out of it: records, and the places where they lie. */

export interface RecordInput {
  /** What the record is; the store's numbering, 1 to 255. */
  readonly kind: number
  /** Place in the change feed, 0 for records that take none. */
  readonly seq: number
  /** What the record is about (slot and version, or blob and chunk index): repeated in the footer. */
  readonly label: Uint8Array
  /** Everything else that must be known without reading the body. */
  readonly head: Uint8Array
  /**
   * The bytes, in pieces that are written one after the other; empty for records without. They must
   * not change until the append has resolved.
   */
  readonly body: readonly Uint8Array[]
}

/** One use of a segment. */
export interface SegmentUse {
  readonly segment: number
  /** Tells this use of the segment from the earlier and later ones. */
  readonly generation: number
}

/** Where a record lies. Fixed once written; a record that the store moves is a copy elsewhere. */
export interface Location extends SegmentUse {
  /** Byte offset of the record's first byte in the segment. */
  readonly offset: number
  /** Bytes from the record's first byte to the first of its body. */
  readonly headLength: number
  readonly bodyLength: number
}

/** A place in the log stream: everything before it was handed out by replay or appended. */
export interface LogPosition extends SegmentUse {
  readonly offset: number
}

export interface StoredRecord {
  readonly kind: number
  readonly seq: number
  readonly label: Buffer
  readonly head: Buffer
}

export interface ReadRecord extends StoredRecord {
  readonly body: Buffer
}

export interface ReplayedRecord extends StoredRecord {
  readonly location: Location
  /** The log position after this record's group: equal for all records of a group. */
  readonly groupEnd: LogPosition
}
