/** What of a store stands between an index and its log once the one was brought up to the other. */
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Volume } from '../../volume/volume.ts'
import { BlobWriter, OpenWriters } from '../bodies/blob-writer.ts'
import { ChunkBuffers } from '../bodies/chunk-buffers.ts'
import { Conflicts } from '../conflicts/conflicts.ts'
import { PatientBulk } from '../intake/patient-bulk.ts'
import { Uploads } from '../intake/uploads.ts'
import { type ByteHasher, type Hashing, inlineHashing } from '../model/body-hasher.ts'
import { VersionClock } from '../model/version.ts'
import { Accounts } from '../tables/accounts.ts'
import { Admission, type RoomView } from '../write/admission.ts'
import { type ReplayLog, recover } from './recovery.ts'

export interface RecoverPartsOptions {
  /** Open, and not yet replayed. */
  readonly volume: Volume
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** For large bodies; on this thread unless told. */
  readonly hashing?: Hashing | undefined
}

export interface RecoveredParts {
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly versions: VersionClock
  readonly uploads: Uploads
  readonly conflicts: Conflicts
  readonly writers: OpenWriters
  readonly admission: Admission
  /** What is written through it is given to `hasher`, if there is one. */
  readonly openWriter: (hasher?: ByteHasher) => BlobWriter
  readonly hashing: Hashing
  /** Records replayed. */
  readonly replayed: number
}

/** @param log the volume, or somebody who looks on */
export async function recoverParts(
  index: OrderedIndex,
  options: RecoverPartsOptions,
  log: ReplayLog = options.volume,
): Promise<RecoveredParts> {
  const { volume, clock, random, logger } = options
  const { hashing = inlineHashing } = options
  const { siteId } = volume.identity
  const accounts = await Accounts.load(index, volume.segments())
  const versions = new VersionClock({ clock, site: siteId })
  const writers = new OpenWriters()
  const admission = new Admission(roomView(volume, index), clock)
  const into = {
    ...{ log: new PatientBulk(volume, admission), random, writers },
    chunks: new ChunkBuffers(volume.limits.chunkBytes),
  }
  const openWriter = (hasher?: ByteHasher): BlobWriter => new BlobWriter(into, hasher)
  const ways = { openWriter, hashing }
  const uploads = await Uploads.load({ index, reader: volume, admission, ...ways })
  const conflicts = await Conflicts.load({ index, clock })
  const now = Math.max(0, Math.floor(clock.now()))
  const recovered = { index, accounts, uploads, conflicts, versions }
  const replayed = await recover({ ...recovered, log, siteId, logger, now })
  // Behind a lost end of the log, the records alone do not tell what was given.
  accounts.raiseSeq(volume.sealedSeq)
  return { ...recovered, writers, admission, ...ways, replayed }
}

function roomView(volume: Volume, index: OrderedIndex): RoomView {
  return {
    limits: volume.limits,
    isRoomFor: (bytes, options) => volume.isRoomFor(bytes, options),
    isIndexShort: () => index.isShort,
    health: () => volume.health(),
  }
}
