import type { Slot } from './slot.ts'
import type { Version } from './version.ts'

/** A place in the change feed: the newest mutation of its slot. */
export interface FeedPlace {
  readonly seq: number
  readonly slot: Slot
  readonly version: Version
  /** Bytes of the object, 0 for anything but a put. */
  readonly bytes: number
  /** When the slot's oldest change that some remote still lacks was made: wall ms. */
  readonly since: number
}
