/** What the sequencer decides against. */
import type { LiveEntry, SlotEntry } from './tables/slot-entry.ts'
import type { Context, Version } from './version.ts'

/** A bucket's purge: everything at or below is absent, what the context does not cover lost to it. */
export interface Floor {
  readonly version: Version
  readonly context: Context
  /** Its place in this site's feed. */
  readonly seq: number
}

/** A slot as the next write sees it. */
export interface CurrentSlot {
  /** What the index or a pending write holds, even when it lies under the floor. */
  readonly entry: SlotEntry | undefined
  /** The entry, when it is live and above the floor. */
  readonly live: LiveEntry | undefined
  readonly after: Promise<void> | undefined
}

export interface StampedWrite {
  readonly version: Version
  readonly context: Context
  /** What {@link Sequencer.current} has just said of the slot. */
  readonly previous: SlotEntry | undefined
}
