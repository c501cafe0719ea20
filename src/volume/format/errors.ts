/** What can go wrong in a volume. Every class says whether data is lost, damaged or merely refused. */
import { formatByteSize } from '../../base/byte-size.ts'
import { ComioError, messageOf } from '../../base/errors.ts'
import type { Location, SegmentUse } from './record.ts'

/** Written by a later ComIO in a format that this one does not know. */
export class FormatTooNewError extends ComioError {
  readonly code = 'FORMAT_TOO_NEW'

  constructor(what: string, found: number, known: number) {
    super(`${what} has format ${found}; this ComIO reads formats up to ${known}`, {
      hint: 'Use the ComIO version that wrote it, or a newer one.',
      facts: { found, known },
    })
  }
}

/** The superblock is there but is none, or is damaged. */
export class CorruptSuperblockError extends ComioError {
  readonly code = 'SUPERBLOCK_CORRUPT'

  constructor(device: string, mismatch: string) {
    super(`the superblock of ${device} is damaged: ${mismatch}`, {
      hint: 'Nothing was changed. Restore the file from a backup of this same volume.',
      facts: { device, mismatch },
    })
  }
}

/** Segments without a superblock: initialising would give away what they hold. */
export class MissingSuperblockError extends ComioError {
  readonly code = 'SUPERBLOCK_MISSING'

  constructor(device: string, segments: number) {
    super(`${device} holds ${segments} segments but no superblock`, {
      hint: 'Nothing was changed. Restore the superblock, or name an empty storage path.',
      facts: { device, segments },
    })
  }
}

/** Asked to open a volume as a site that it does not belong to. */
export class SiteIdMismatchError extends ComioError {
  readonly code = 'SITE_ID_MISMATCH'

  constructor(stored: string, given: string) {
    super(`the volume belongs to site ${stored}, not to ${given}`, {
      hint: `Use site id ${stored}, or another storage path for ${given}.`,
      facts: { stored, given },
    })
  }
}

/** Fewer bytes than the smallest volume that can still delete when it is full. */
export class CapacityTooSmallError extends ComioError {
  readonly code = 'CAPACITY_TOO_SMALL'

  constructor(capacityBytes: number, neededBytes: number) {
    const [given, needed] = [capacityBytes, neededBytes].map(formatByteSize)
    super(`${given} is too small for a volume: it needs at least ${needed}`, {
      hint: 'Give it a larger --size, or more room on its disk.',
      facts: { capacityBytes, neededBytes },
    })
  }
}

export interface DamageFacts extends SegmentUse {
  readonly offset: number
  readonly mismatch: string
}

const damagedLogHint =
  'Check the disk; restore a backup, refill this site from another, or see what comio volume rebuild finds behind it.'

/** The log is damaged in a place that a crash cannot explain. */
export class CorruptLogError extends ComioError {
  readonly code = 'LOG_CORRUPT'

  constructor(facts: DamageFacts, hint = damagedLogHint) {
    super(`the log is damaged ${placeText(facts)}: ${facts.mismatch}`, {
      hint: `Nothing was changed. ${hint}`,
      facts: { ...facts },
    })
  }
}

/** Part of the log is gone that is known to have been durable. */
export class LostLogError extends ComioError {
  readonly code = 'LOG_LOST'

  constructor(missing: string, facts: Partial<DamageFacts> = {}) {
    super(`part of the log is lost: ${missing}`, {
      hint: 'Nothing was changed. Bring the missing file back, restore a backup, refill this site from a replica, or see what comio volume rebuild finds without it.',
      facts: { ...facts },
    })
  }
}

/** A stored record does not read back as it was written. */
export class CorruptRecordError extends ComioError {
  readonly code = 'RECORD_CORRUPT'

  /** @param cause the disk's error, where it cannot be read */
  constructor(facts: DamageFacts, cause?: unknown) {
    super(`a record is damaged ${placeText(facts)}: ${facts.mismatch}`, {
      hint: 'Check the disk. Another site may still have the object intact.',
      facts: { ...facts },
      cause,
    })
  }
}

/** The segment was freed, and perhaps used again, since the location was looked up: look up again. */
export class StaleLocationError extends ComioError {
  readonly code = 'LOCATION_STALE'

  constructor(location: SegmentUse | Location, current: number | undefined) {
    super(`segment ${location.segment} of generation ${location.generation} has been freed`, {
      facts: { ...location, current },
    })
  }
}

/** No segment can be opened: nothing was written, and everything stays readable. */
export class VolumeFullError extends ComioError {
  readonly code = 'VOLUME_FULL'

  constructor(facts: {
    readonly usedBytes: number
    readonly capacityBytes: number
    readonly cause?: unknown
  }) {
    const { usedBytes, capacityBytes, cause } = facts
    super('the volume is full', {
      hint: 'Delete objects, or give the volume a larger size or disk.',
      facts: { usedBytes, capacityBytes },
      cause,
    })
  }
}

/** A group did not become durable: nothing of it counts, and the next one goes to a new segment. */
export class GroupWriteError extends ComioError {
  readonly code = 'VOLUME_WRITE_FAILED'

  constructor(facts: SegmentUse & { readonly offset: number }, cause: unknown) {
    super(`a write to the volume failed: ${messageOf(cause)}`, { facts: { ...facts }, cause })
  }
}

/** Two failures in a row: nothing more is written until the volume is opened again. */
export class VolumeReadOnlyError extends ComioError {
  readonly code = 'VOLUME_READ_ONLY'

  constructor(reason: string, cause?: unknown) {
    super(`the volume is read-only until it is opened again: ${reason}`, {
      hint: 'Check the disk, then restart the site.',
      cause,
    })
  }
}

function placeText(facts: DamageFacts): string {
  return `in segment ${facts.segment}, generation ${facts.generation}, at offset ${facts.offset}`
}
