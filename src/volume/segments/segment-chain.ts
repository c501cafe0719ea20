/**
 * The segments of one stream in the order in which they were opened, each sealed by the next. Built
 * at opening; it finds what is missing and learns from each header where the segment before it ends.
 */
import type { ComioError } from '../../base/errors.ts'
import { CorruptLogError } from '../format/errors.ts'
import type { SegmentUse } from '../format/record.ts'
import type { SegmentEntry } from './segment-table.ts'
import { isSameUse } from './segment-table.ts'

export interface SegmentChain {
  readonly entries: readonly SegmentEntry[]
  /**
   * Segments that were given up right after (or while) their header was written: their successor
   * seals the segment before them. They must be empty.
   */
  readonly abandoned: readonly SegmentEntry[]
}

export interface ChainOptions {
  /** Segments above this generation cannot have been freed: what they name must be there. */
  readonly knownThrough: number
  /** Told of everything that is contradictory; it may throw, or note it and go on. */
  readonly report: (problem: ComioError) => void
  /** Told of every segment that is not there and was not freed; it may throw, too. */
  readonly missing: (use: SegmentUse) => void
}

/** Marks every entry but the newest as sealed where its successor says. */
export function buildChain(ordered: readonly SegmentEntry[], options: ChainOptions): SegmentChain {
  const entries: SegmentEntry[] = []
  const abandoned: SegmentEntry[] = []
  let next: SegmentEntry | undefined
  for (const entry of [...ordered].reverse()) {
    if (next === undefined || isSameUse(next.previous, entry)) {
      if (next !== undefined) seal(entry, next, options)
    } else if ((next.previous?.generation ?? 0) < entry.generation) {
      abandoned.push(entry)
      continue
    } else {
      reportMissing(next, options)
      reportEndless(entry, options)
    }
    entries.push(entry)
    next = entry
  }
  if (next !== undefined) reportMissing(next, options)
  return { entries: entries.reverse(), abandoned }
}

function seal(entry: SegmentEntry, successor: SegmentEntry, options: ChainOptions): void {
  const sealed = successor.previous
  if (sealed === undefined) return
  const { segment, generation, end } = entry
  const { validEnd, lastGroup, highestSeq } = sealed
  if (end !== undefined && (end.validEnd !== validEnd || end.lastGroup !== lastGroup)) {
    const mismatch = `its footer stands at ${end.validEnd}, but segment ${successor.segment} seals it at ${validEnd}`
    options.report(new CorruptLogError({ segment, generation, offset: end.validEnd, mismatch }))
  }
  entry.end = { validEnd, lastGroup, highestSeq }
  entry.state = 'sealed'
}

/** What `entry` seals is not there: freed, or lost if nothing can have freed it. */
function reportMissing(entry: SegmentEntry, options: ChainOptions): void {
  const { previous } = entry
  if (previous === undefined || previous.generation <= options.knownThrough) return
  options.missing(previous)
}

/** Its successor was freed, which happens only once it has a footer. */
function reportEndless(entry: SegmentEntry, options: ChainOptions): void {
  if (entry.end !== undefined) return
  const { segment, generation } = entry
  const mismatch = 'neither a footer nor a later segment says where it ends'
  options.report(new CorruptLogError({ segment, generation, offset: 0, mismatch }))
}
