/**
 * The volume: an append-only log of opaque records in segments on a device. It promises that an
 * appended group is whole and durable once the call has resolved, that a read returns the bytes that
 * were appended or an error by name, and that recovery finds every durable group and nothing else.
 * It must never know buckets, keys or versions: `label` and `head` are bytes to it.
 */
export interface RecordInput {
  /** What the record is; the store's numbering, 1 to 255. */
  readonly kind: number
  /** Place in the change feed, 0 for records that take none. */
  readonly seq: number
  /** What the record is about (slot and version, or blob and chunk index): repeated in the footer. */
  readonly label: Uint8Array
  /** Everything else that must be known without reading the body. */
  readonly head: Uint8Array
  /** The bytes, in pieces that are written one after the other; empty for records without. */
  readonly body: readonly Uint8Array[]
}

/** Where a record lies. Fixed once written, until the cleaner moves it. */
export interface Location {
  readonly segment: number
  /** Tells this use of the segment from the earlier and later ones. */
  readonly generation: number
  /** Byte offset of the record's first byte in the segment. */
  readonly offset: number
  /** Bytes from the record's first byte to the first of its body. */
  readonly headLength: number
  readonly bodyLength: number
}

/** A place in the log stream: everything before it was handed out by replay or appended. */
export interface LogPosition {
  readonly segment: number
  readonly generation: number
  readonly offset: number
}

export interface StoredRecord {
  readonly kind: number
  readonly seq: number
  readonly label: Buffer
  readonly head: Buffer
}

export interface ReplayedRecord extends StoredRecord {
  readonly location: Location
  /** The log position after this record's group: equal for all records of a group. */
  readonly groupEnd: LogPosition
}

export type Stream = 'log' | 'bulk'

export interface SegmentInfo {
  readonly segment: number
  readonly generation: number
  readonly stream: Stream
  readonly state: 'open' | 'sealed'
  /** Bytes of the device it occupies. */
  readonly bytes: number
}

export interface VolumeUsage {
  /** What the volume may take, from `--size` or the disk. */
  readonly capacityBytes: number
  /** What its segments occupy. */
  readonly usedBytes: number
  /** False when ordinary writes are answered 507. */
  readonly writable: boolean
}

export interface VolumeIdentity {
  /** 16 random bytes as hex. */
  readonly volumeId: string
  /** 8 random bytes as hex; new on init, restore and clone. */
  readonly incarnation: string
  /** Wall time of this incarnation's beginning, milliseconds. */
  readonly incarnationSince: number
  readonly siteId: string
}

export interface VolumeHealth {
  readonly writable: boolean
  /** Why not, in words; undefined while writable. */
  readonly reason: string | undefined
}
