/** Whether the segments that the superblock counts are all there, and which are not. */
import type { ComioError } from '../../base/errors.ts'
import { LostLogError } from '../format/errors.ts'
import type { SegmentUse } from '../format/record.ts'
import {
  censusOf,
  censusWithout,
  combineCensus,
  type SegmentCensus,
  sameCensus,
} from '../format/segment-census.ts'
import type { Superblock } from '../format/superblock.ts'
import type { Stream } from '../format/volume-status.ts'
import type { SegmentTable } from './segment-table.ts'

/** Told what is wrong: it may throw, or note it and go on. */
export interface CensusListener {
  /** @param unnamed how many are gone that nothing names; not above 0 where there is one too many */
  report(stream: Stream, problem: ComioError, unnamed: number): void
  missing(stream: Stream, use: SegmentUse): void
}

/** Every segment up to the superblock's generation must be there, unless it was freed through it. */
export function checkCensus(
  table: SegmentTable,
  superblock: Superblock,
  listener: CensusListener,
): void {
  const found = table.census(superblock.highestGeneration)
  for (const stream of ['log', 'bulk'] as const) {
    const expected = superblock.census[stream]
    if (sameCensus(found[stream], expected)) continue
    const named = superblock.register.filter((registered) => {
      return registered.stream === stream && table.find(registered) === undefined
    })
    for (const use of named) listener.missing(stream, use)
    const known = combineCensus(found[stream], censusOf(named))
    if (sameCensus(known, expected)) continue
    const counts = `${expected.count} ${stream} segments expected, ${found[stream].count} found`
    const unnamed = censusWithout(expected, known)
    listener.report(stream, new LostLogError(counts), unnamed.count)
    if (stream === 'bulk') noteUnnamed(table, superblock, unnamed)
  }
}

/** Bulk segments that are older than all that the superblock names. */
function noteUnnamed(table: SegmentTable, superblock: Superblock, census: SegmentCensus): void {
  // Fewer expected than found: somebody has put a freed segment back, which takes nothing away.
  if (census.count <= 0) return
  const { highestGeneration: through, slotsEnd } = superblock
  const found = new Set(table.infos().map(({ generation }) => generation))
  table.missing.addUnnamed({ census, through, found, slotsEnd })
}
