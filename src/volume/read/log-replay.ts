/**
 * Hands out what the log holds from a position on, durable and verified, and tells a crash's torn tail from damage and from
 * loss. The tail is forgiven only where a crash can have made it: at the end of the newest segment,
 * with no later group behind it. Everything else is refused by name.
 */
import { assert } from '../../base/assert.ts'
import { CorruptLogError, LostLogError } from '../format/errors.ts'
import { decodeFooterHeader } from '../format/footer.ts'
import { decodeGroupHeader } from '../format/group-codec.ts'
import { blockBytes } from '../format/limits.ts'
import type { LogPosition, ReplayedRecord, SegmentUse } from '../format/record.ts'
import type { SegmentEnd } from '../format/segment-header.ts'
import type { LogEnd } from '../format/superblock.ts'
import { type DamagedExtent, readExtent, recordBytesMin } from '../segments/damaged-extent.ts'
import type { MissingLog } from '../segments/missing-log.ts'
import { readBlocks } from '../segments/segment-read.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'
import { isSameUse } from '../segments/segment-table.ts'
import { SegmentWalk, type WalkedGroup, type WalkStop } from '../segments/segment-walk.ts'
import { TolerantSegment } from '../segments/tolerant-segment.ts'
import type { VolumeContext } from '../segments/volume-context.ts'

const nothingLeft = { records: [], lost: [], isAccounted: false } as const

interface PassedDamage {
  readonly extent: DamagedExtent
  readonly groups: number
  /** Whether later groups follow. */
  readonly goesOn: boolean
}

export class LogReplay {
  readonly #context: VolumeContext
  readonly #entries: readonly SegmentEntry[]
  readonly #missing: MissingLog
  readonly #logEnd: LogEnd | undefined
  #reached: LogPosition | undefined
  #finished = false

  constructor(
    context: VolumeContext,
    log: {
      /** The log's segments in order. */
      readonly entries: readonly SegmentEntry[]
      readonly missing: MissingLog
      /** What it reached when the volume was closed in order. */
      readonly logEnd: LogEnd | undefined
    },
  ) {
    this.#context = context
    this.#entries = log.entries
    this.#missing = log.missing
    this.#logEnd = log.logEnd
  }

  /** Whether every record up to the tail was handed out. */
  get finished(): boolean {
    return this.#finished
  }

  async *run(from: LogPosition | undefined): AsyncGenerator<ReplayedRecord> {
    let start = from
    for (const entry of this.#startingAt(from)) {
      yield* this.#replaySegment(entry, isSameUse(start, entry) ? start?.offset : undefined)
      start = undefined
    }
    this.#finished = true
  }

  /** The whole log, going on behind damage, of which it hands out what is left. */
  async *salvage(reached: LogPosition | undefined): AsyncGenerator<ReplayedRecord | DamagedExtent> {
    this.#reached = reached
    let last: SegmentEntry | undefined
    for (const [at, entry] of this.#entries.entries()) {
      yield* this.#missingBetween(last, entry)
      yield* this.#salvageSegment(entry)
      if (entry.isEndGuessed) yield guessedEnd(entry, this.#entries[at + 1])
      last = entry
    }
    if (last !== undefined) yield* this.#missingAfter(last)
    this.#finished = true
  }

  /** Before `next`, whose header knows the highest seq up to there. */
  *#missingBetween(last: SegmentEntry | undefined, next: SegmentEntry): Generator<DamagedExtent> {
    const highestSeq = next.previous?.highestSeq ?? 0
    for (const use of this.#missing.between(last?.generation ?? 0, next.generation)) {
      yield this.#missingSegment(use, highestSeq)
    }
  }

  /** At the end of the log, where those may have been, too, that nothing names. */
  *#missingAfter(last: SegmentEntry): Generator<DamagedExtent> {
    const { end, segment, generation } = last
    assert(end !== undefined, 'a segment has an end once it was walked')
    const { unnamed } = this.#missing
    const newest = this.#missing.between(generation, Number.POSITIVE_INFINITY)
    const seqs = Math.ceil(this.#context.limits.segmentBytes / recordBytesMin)
    const highestSeq = end.highestSeq + (newest.length + unnamed) * seqs
    // What is opened next seals it so: then the log alone tells which seqs are not given again.
    last.end = { ...end, highestSeq }
    for (const use of newest) yield this.#missingSegment(use, highestSeq)
    if (unnamed === 0) return
    const place = { segment, generation, offset: end.validEnd, end: end.validEnd }
    const mismatch = `segments of the log are missing that nothing names: ${unnamed}`
    yield { ...place, mismatch, ...nothingLeft, highestSeq }
  }

  #missingSegment(use: SegmentUse, highestSeq: number): DamagedExtent {
    const { segmentBytes: end } = this.#context.limits
    const mismatch = 'the segment is missing'
    return { ...use, offset: blockBytes, end, mismatch, ...nothingLeft, highestSeq }
  }

  #startingAt(from: LogPosition | undefined): readonly SegmentEntry[] {
    if (from === undefined) return this.#entries
    const index = this.#entries.findIndex((entry) => isSameUse(entry, from))
    if (index >= 0) return this.#entries.slice(index)
    // The segment may have been freed once nothing of it was needed: then the next one seals it
    // exactly where the position says.
    const next = this.#entries.findIndex((entry) => isSameUse(entry.previous, from))
    if (next >= 0 && this.#entries[next]?.previous?.validEnd === from.offset) {
      return this.#entries.slice(next)
    }
    const { segment, generation, offset } = from
    throw new LostLogError('it does not reach the position from which it is needed', {
      segment,
      generation,
      offset,
    })
  }

  async *#replaySegment(
    entry: SegmentEntry,
    from: number | undefined,
  ): AsyncGenerator<ReplayedRecord> {
    const { handles } = this.#context
    const handle = await handles.acquire(entry.segment)
    try {
      // After a mere kill, what is read may be in memory only. Whoever gets it here builds on it, and
      // makes that durable: so this must be durable first.
      await handle.sync()
      const { seed } = entry
      const walk = new SegmentWalk({ handle, seed, limit: entry.end?.validEnd })
      let highestSeq = entry.previous?.highestSeq ?? 0
      for (;;) {
        const skipping = from !== undefined && walk.offset < from
        const step = await walk.next(skipping)
        if (step.type !== 'group') {
          await this.#finishSegment(entry, { walk, stop: step, from, highestSeq })
          return
        }
        highestSeq = step.header.highestSeq
        if (!skipping) yield* recordsOf(entry, step)
        else if (step.end > (from ?? 0))
          throw damaged(entry, step.offset, 'no group ends where replay is to begin')
      }
    } finally {
      handles.release(entry.segment)
    }
  }

  async *#salvageSegment(entry: SegmentEntry): AsyncGenerator<ReplayedRecord | DamagedExtent> {
    const { handles } = this.#context
    const segment = await handles.acquire(entry.segment)
    try {
      await segment.sync()
      const handle = new TolerantSegment(segment)
      const walk = new SegmentWalk({ handle, seed: entry.seed, limit: entry.end?.validEnd })
      let highestSeq = entry.previous?.highestSeq ?? 0
      let isDamaged = false
      for (;;) {
        const step = await walk.next()
        if (step.type === 'group') {
          highestSeq = Math.max(highestSeq, step.header.highestSeq)
          yield* recordsOf(entry, step)
          continue
        }
        const passed = await this.#passDamage(entry, { walk, stop: step, handle, highestSeq })
        if (passed === undefined) {
          // What its seal says is compared only where all of it was seen.
          if (!isDamaged) {
            await this.#finishSegment(entry, { walk, stop: step, from: undefined, highestSeq })
          } else entry.end ??= { validEnd: step.offset, lastGroup: walk.lastGroup, highestSeq }
          return
        }
        isDamaged = true
        yield passed.extent
        highestSeq = Math.max(highestSeq, passed.extent.highestSeq)
        if (passed.goesOn) continue
        const validEnd = passed.extent.end
        entry.end ??= { validEnd, lastGroup: walk.lastGroup + passed.groups, highestSeq }
        return
      }
    } finally {
      handles.release(entry.segment)
    }
  }

  /** Undefined where the groups end in order, or with what a crash has torn. */
  async #passDamage(
    entry: SegmentEntry,
    found: {
      readonly walk: SegmentWalk
      readonly stop: WalkStop
      readonly handle: TolerantSegment
      readonly highestSeq: number
    },
  ): Promise<PassedDamage | undefined> {
    const { walk, stop, handle } = found
    const { offset } = stop
    const { segment, generation } = entry
    const { lastGroup } = walk
    const later = stop.type === 'bad' ? await walk.skipTo(stop.resumeAt) : undefined
    const goesOn = later !== undefined
    const cutOff = goesOn ? undefined : this.#cutOff(entry, offset)
    const known = later ?? entry.end?.validEnd ?? this.#knownEnd(entry) ?? 0
    const end = cutOff === undefined ? known : offset
    if (cutOff === undefined && (stop.type !== 'bad' || (!goesOn && end <= offset)))
      return undefined
    const last = goesOn ? walk.lastGroup : entry.end?.lastGroup
    const groups = last === undefined ? undefined : last - lastGroup
    const place = { offset, end, groups }
    const { groups: passed, ...left } = await readExtent(this.#context, { entry, handle }, place)
    const lostBytes = cutOff?.bytes ?? end - offset
    const highestSeq = goesOn
      ? ((await seqAt(handle, entry, end)) ?? found.highestSeq)
      : (entry.end?.highestSeq ?? found.highestSeq + Math.ceil(lostBytes / recordBytesMin))
    const { mismatch } = cutOff ?? stop
    const extent = { segment, generation, offset, end, mismatch, ...left, highestSeq }
    return { extent, groups: passed, goesOn }
  }

  /** The newest segment, before it is finished, has all of its bytes. */
  #cutOff(
    entry: SegmentEntry,
    offset: number,
  ): { readonly mismatch: string; readonly bytes: number } | undefined {
    const { segmentBytes } = this.#context.limits
    if (entry.end !== undefined || entry.bytes >= segmentBytes) return undefined
    const mismatch = `it is cut off at ${entry.bytes} of ${segmentBytes} bytes`
    return { mismatch, bytes: segmentBytes - offset }
  }

  /** Of the newest segment: where it ended when the volume was closed in order, or was known to be. */
  #knownEnd({ generation }: SegmentEntry): number | undefined {
    const ends = [this.#logEnd, this.#reached].filter((end) => end?.generation === generation)
    return ends.length === 0 ? undefined : Math.max(...ends.map((end) => end?.offset ?? 0))
  }

  /** Decides what a stop means, and remembers where the newest segment ends. */
  async #finishSegment(
    entry: SegmentEntry,
    found: {
      readonly walk: SegmentWalk
      readonly stop: WalkStop
      readonly from: number | undefined
      readonly highestSeq: number
    },
  ): Promise<void> {
    const { walk, stop, from, highestSeq } = found
    const { offset } = stop
    if (stop.type === 'bad') {
      const lastGroup = walk.lastGroup
      const later = await walk.skipTo(stop.resumeAt)
      if (later !== undefined) {
        throw damaged(
          entry,
          offset,
          `${stop.mismatch}, but a group after ${lastGroup} follows at ${later}`,
        )
      }
      if (entry.end !== undefined) throw endsEarly(entry, offset, 'its seal')
    }
    const { segmentBytes } = this.#context.limits
    if (entry.end === undefined && entry.bytes < segmentBytes) {
      throw endsEarly(entry, entry.bytes, `its ${segmentBytes} bytes`)
    }
    const { generation, offset: known = 0 } = this.#logEnd ?? {}
    if (entry.generation === generation && offset < known)
      throw endsEarly(entry, offset, `${known}, where it ended when the volume was closed`)
    if (from !== undefined && offset < from)
      throw endsEarly(entry, offset, 'the position to replay from')
    const end: SegmentEnd = { validEnd: offset, lastGroup: walk.lastGroup, highestSeq }
    if (entry.end !== undefined) checkSeal(entry, end)
    entry.end = end
  }
}

function* recordsOf(entry: SegmentEntry, group: WalkedGroup): Generator<ReplayedRecord> {
  const { segment, generation } = entry
  const groupEnd: LogPosition = { segment, generation, offset: group.end }
  for (const record of group.records) {
    const { kind, seq, label, head, offset, headLength, bodyLength } = record
    const location = { segment, generation, offset, headLength, bodyLength }
    yield { kind, seq, label, head, location, groupEnd }
  }
}

/** The highest seq up to the group, or the footer, that begins there. */
async function seqAt(
  handle: TolerantSegment,
  { seed }: SegmentEntry,
  offset: number,
): Promise<number | undefined> {
  const bytes = await readBlocks(handle, offset, blockBytes)
  const place = { offset, seed }
  return (decodeGroupHeader(bytes, 0, place) ?? decodeFooterHeader(bytes, 0, place))?.highestSeq
}

function guessedEnd(entry: SegmentEntry, next: SegmentEntry | undefined): DamagedExtent {
  const { segment, generation, end } = entry
  assert(end !== undefined, 'a guess is an end')
  const mismatch = 'its footer is lost, and nothing else says whether this is where it ends'
  const highestSeq = Math.max(end.highestSeq, next?.previous?.highestSeq ?? 0)
  const { validEnd: offset } = end
  return { segment, generation, offset, end: offset, mismatch, ...nothingLeft, highestSeq }
}

function checkSeal(entry: SegmentEntry, found: SegmentEnd): void {
  const sealed = entry.end
  assert(
    sealed !== undefined && found.validEnd >= blockBytes,
    'a seal is checked where there is one',
  )
  if (found.validEnd !== sealed.validEnd) {
    throw damaged(entry, found.validEnd, `its seal names ${sealed.validEnd} as its end`)
  }
  if (found.lastGroup !== sealed.lastGroup) {
    throw damaged(
      entry,
      found.validEnd,
      `its seal names group ${sealed.lastGroup} as the last, found ${found.lastGroup}`,
    )
  }
  // A rebuild that went on behind a segment that was cut off has sealed it with what may have stood there.
  if (found.highestSeq > sealed.highestSeq) {
    throw damaged(
      entry,
      found.validEnd,
      `its seal names seq ${sealed.highestSeq} as the highest, found ${found.highestSeq}`,
    )
  }
}

function damaged(entry: SegmentEntry, offset: number, mismatch: string): CorruptLogError {
  const { segment, generation } = entry
  return new CorruptLogError({ segment, generation, offset, mismatch })
}

function endsEarly(entry: SegmentEntry, offset: number, before: string): LostLogError {
  const { segment, generation } = entry
  const missing = `segment ${segment} ends at ${offset}, before ${before}`
  return new LostLogError(missing, { segment, generation, offset })
}
