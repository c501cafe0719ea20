/**
 * The record of a bucket's purge, written again: moved, or with the word that the bucket was swept. A log
 * keeps dead records for as long as something else in their segment lives. An index that is built anew from
 * it finds an object there whose overwriting was in a segment that is freed; without that word it would take
 * it for one that the purge had not seen.
 */

import type { Version } from '../model/version.ts'
import { bucketRecordMoved } from '../tables/moved-records.ts'
import { purgeRecord } from '../tables/records.ts'
import type { Floor } from '../write/current-slot.ts'
import type { Sequencer } from '../write/sequencer.ts'

/** Resolves once it is durable and indexed; at once when another purge has come since. */
export function writeFloorAgain(
  sequencer: Sequencer,
  { bucket, seq }: { readonly bucket: string; readonly seq: number },
): Promise<void> {
  const floor = sequencer.floorOf(bucket).value
  return floor?.seq === seq ? sequenceFloor(sequencer, bucket, floor) : Promise.resolve()
}

/** Writes down that nothing is left under the purge. Undefined when another one has come since. */
export function writeSwept(
  sequencer: Sequencer,
  bucket: string,
  version: Version,
): Promise<void> | undefined {
  const floor = sequencer.floorOf(bucket).value
  if (floor?.version !== version) return undefined
  return sequenceFloor(sequencer, bucket, { ...floor, swept: version })
}

function sequenceFloor(sequencer: Sequencer, bucket: string, floor: Floor): Promise<void> {
  const { seq, version, context, swept } = floor
  const slot = { kind: 'floor', bucket } as const
  const record = purgeRecord(seq, { kind: 'purge', slot, version, context }, swept)
  return sequencer.sequenceUnplaced(
    record,
    (effects, location) => {
      bucketRecordMoved(effects, { bucket, place: 'floorPlace', seq, location, swept })
    },
    { cover: (done) => sequencer.coverFloor(bucket, floor, done) },
  )
}
