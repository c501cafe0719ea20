/** What of a store stands between an index and its log once the one was brought up to the other. */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { OrderedIndex } from '../index/ordered-index.ts'
import type { Volume } from '../volume/volume.ts'
import { Accounts } from './accounts.ts'
import { Admission } from './admission.ts'
import { BlobWriter, OpenWriters } from './blob-writer.ts'
import { Conflicts } from './conflicts.ts'
import { PatientBulk } from './patient-bulk.ts'
import { type ReplayLog, recover } from './recovery.ts'
import { Uploads } from './uploads.ts'
import { VersionClock } from './version.ts'

export interface RecoverPartsOptions {
  /** Open, and not yet replayed. */
  readonly volume: Volume
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface RecoveredParts {
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly versions: VersionClock
  readonly uploads: Uploads
  readonly conflicts: Conflicts
  readonly writers: OpenWriters
  readonly admission: Admission
  readonly openWriter: () => BlobWriter
  /** Records replayed. */
  readonly replayed: number
}

/** @param log the volume, or somebody who looks on */
export async function recoverParts(
  index: OrderedIndex,
  { volume, clock, random, logger }: RecoverPartsOptions,
  log: ReplayLog = volume,
): Promise<RecoveredParts> {
  const { siteId } = volume.identity
  const accounts = await Accounts.load(index, volume.segments())
  const versions = new VersionClock({ clock, site: siteId })
  const writers = new OpenWriters()
  const admission = new Admission(volume, clock)
  const bulk = new PatientBulk(volume, admission)
  const bytes = { log: bulk, reader: volume, random, writers, admission }
  const uploads = await Uploads.load({ ...bytes, index })
  const conflicts = await Conflicts.load({ index, clock })
  const now = Math.max(0, Math.floor(clock.now()))
  const into = { index, accounts, uploads, conflicts, versions }
  const replayed = await recover({ ...into, log, siteId, logger, now })
  const openWriter = (): BlobWriter => new BlobWriter({ log: bulk, random, writers })
  return { ...into, writers, admission, openWriter, replayed }
}
