/** Puts the cleaner together: one mover for each stream. */
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Volume } from '../../volume/volume.ts'
import type { OpenWriters } from '../bodies/blob-writer.ts'
import type { Accounts } from '../tables/accounts.ts'
import type { Admission } from '../write/admission.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'
import type { Sequencer } from '../write/sequencer.ts'
import { ChunkMover } from './chunk-mover.ts'
import { Cleaner } from './cleaner.ts'
import type { LiveRecords } from './live-records.ts'
import type { ReclaimOptions } from './reclaim-options.ts'
import { RecordMover } from './record-mover.ts'

export function openCleaner(parts: {
  readonly volume: Volume
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly admission: Admission
  readonly writers: OpenWriters
  readonly pipeline: CommitPipeline
  readonly sequencer: Sequencer
  readonly records: LiveRecords
  readonly freed: () => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
  readonly reclaim: ReclaimOptions
}): Cleaner {
  const { volume, index, accounts, admission, writers, pipeline, sequencer, records, clock } = parts
  const movers = {
    log: new RecordMover({ volume, accounts, records, clock }),
    bulk: new ChunkMover({
      ...{ volume, index, writers, clock },
      runTask: (build) => pipeline.runTask(build),
      contextOf: (batch) => sequencer.effectContext(batch),
    }),
  }
  const cleaner = new Cleaner({ ...parts, movers })
  admission.cleanedBy(cleaner)
  return cleaner
}
