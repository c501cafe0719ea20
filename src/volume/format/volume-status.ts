/** What a volume tells about itself. */
import type { SegmentUse } from './record.ts'

export type Stream = 'log' | 'bulk'

export interface SegmentInfo extends SegmentUse {
  readonly stream: Stream
  readonly state: 'open' | 'sealed'
  /** Whether it has its footer, which lists its records. */
  readonly hasFooter: boolean
  /** Bytes of the device it occupies. */
  readonly bytes: number
  /** Of these, what something is written in; behind it a slot is left empty. */
  readonly filledBytes: number
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
  /** In words: why it is not writable, else the warnings; undefined when all is well. */
  readonly reason: string | undefined
  /** What is wrong with a volume that takes writes: missing data. */
  readonly warnings: readonly string[]
}
