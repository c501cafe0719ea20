/** What a store says of its own state, in words. */
import { formatByteSize } from '../base/byte-size.ts'
import { formatCount } from '../base/format-count.ts'
import type { Volume } from '../volume/volume.ts'
import type { WaitingLosers } from './space/sweeper.ts'

const kib = 1024
/** Blocks and heads, which the cleaner does not count when it says what it can make room for. */
const slackBytes = 16 * kib
/** Longer than senders pause between two tries. */
const skewAlarmMs = 120_000

export interface EngineHealth {
  readonly writable: boolean
  /** In words; empty when all is well. */
  readonly reasons: readonly string[]
}

export function healthOf(engine: {
  readonly volume: Volume
  /** Why the index takes no writes. */
  readonly refusal: Error | undefined
  /** It has hardly any room on its disk. */
  readonly isIndexShort: boolean
  /** Whether there is room for an object of so many bytes, or can be made. */
  readonly canAdmit: (bytes: number) => boolean
  /** The last change that was put off since its version is ahead of this site's clock. */
  readonly skewed: { readonly aheadMs: number; readonly at: number }
  readonly now: number
  /** What purges had not seen, and cannot be kept for want of room. */
  readonly waiting: WaitingLosers
}): EngineHealth {
  const { volume, refusal, skewed, now, canAdmit, waiting } = engine
  const reasons: string[] = []
  const { writable, reason } = volume.health()
  if (refusal !== undefined) reasons.push(refusal.message)
  if (reason !== undefined) reasons.push(reason)
  if (refusal === undefined && engine.isIndexShort) {
    reasons.push('the disk of the index is full: writes are answered 507, reads and deletes go on')
  }
  if (writable && !volume.usage().writable) {
    const what = volume.isRoomFor(1, { essential: true })
      ? 'writes are answered 507, reads and deletes go on'
      : 'writes and deletes are answered 507 until there is room on the disk, reads go on'
    reasons.push(`the volume is full: ${what}`)
  }
  const largest = volume.largestLastWrite
  // More than that the cleaner may still make room for.
  if (writable && largest !== undefined && !canAdmit(largest + slackBytes)) {
    const kibs = Math.floor(largest / kib)
    reasons.push(`the volume is nearly full: objects above ${kibs} KiB are answered 507`)
  }
  if (waiting.objects > 0) {
    const what = waiting.objects === 1 ? '1 object' : `${formatCount(waiting.objects)} objects`
    const size = formatByteSize(waiting.bytes)
    reasons.push(`a purge waits for room to keep ${what} (${size}) that its site had not seen`)
  }
  if (skewed.at > 0 && now - skewed.at < skewAlarmMs) {
    const ahead = Math.round(skewed.aheadMs / 1000)
    reasons.push(`another site's clock is ${ahead} s ahead of this one: its changes wait`)
  }
  return { writable: refusal === undefined && writable, reasons }
}
