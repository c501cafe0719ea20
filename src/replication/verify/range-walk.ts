/**
 * Finds the keys of a bucket whose entries differ between two sites that are both being written. The
 * digests of a range are made at two moments, so those that differ are looked at once more, at both
 * sites at the same time, before they are cut into smaller ones; in the end entries are
 * listed. What it yields are candidates: whether they differ is for {@link Judge} to say.
 */
import type {
  RangeDigest,
  RangePiece,
  Survey,
  SurveyEntry,
  SurveyRange,
} from '../../store/model/survey.ts'
import { higher } from '../../store/model/version.ts'
import { type AnsweredDigest, verifyLimits } from '../wire/verify-documents.ts'
import type { RemoteSurvey } from './remote-survey.ts'

export interface RangeWalkOptions {
  readonly here: Survey
  readonly there: RemoteSurvey
  /** Told of every entry that was compared, once. */
  readonly onCompared: (entries: number) => void
}

/**
 * Of the ranges that a bucket is walked in: what was written meanwhile has a whole one walked again, and
 * each costs some 200 bytes to ask about.
 */
const rangeEntries = 1024
const rangesAtOnce = 16
/** How finely one that differs is cut. */
const cutInto = 16
/** Fewer entries than this are listed. */
const listedEntries = 16
const looks = 2

export class RangeWalk {
  readonly #options: RangeWalkOptions

  constructor(options: RangeWalkOptions) {
    this.#options = options
  }

  /** Keys, in pieces of bounded size. A key may come twice: as an object and as a deletion. */
  async *candidates(range: SurveyRange): AsyncGenerator<readonly string[]> {
    const { here, onCompared } = this.#options
    const size = { pieces: rangesAtOnce, entries: rangeEntries }
    let cutting: Promise<readonly RangePiece[]> | undefined = here.cut(range, size)
    while (cutting !== undefined) {
      const pieces: readonly RangePiece[] = await cutting
      const until: string = pieces.at(-1)?.until ?? range.until
      // While the remote computes, so does this site.
      cutting = until === range.until ? undefined : here.cut({ ...range, after: until }, size)
      cutting?.catch(() => undefined) // thrown again where it is awaited
      yield* this.#compare(pieces, rangeEntries)
      onCompared(pieces.reduce((sum, piece) => sum + piece.count, 0))
    }
  }

  async *#compare(
    pieces: readonly RangePiece[],
    entries: number,
  ): AsyncGenerator<readonly string[]> {
    const answers = await this.#options.there.digests(pieces)
    let different: SurveyRange[] = []
    for (const [at, piece] of pieces.entries()) {
      const answer = answers[at] as AnsweredDigest
      if (isEqual(piece, answer)) continue
      const range = { ...piece, floor: higher(piece.floor, answer.floor) }
      if (Math.min(piece.count, answer.count) <= listedEntries) yield* this.#listed(range)
      else different.push(range)
    }
    for (let look = 0; look < looks; look++) different = await this.#stillDifferent(different)
    for (const range of different) yield* this.#narrow(range, entries)
  }

  /** All in one question: over a long line, one for each would be most of what a comparison takes. */
  async #stillDifferent(ranges: readonly SurveyRange[]): Promise<SurveyRange[]> {
    if (ranges.length === 0) return []
    const { here, there } = this.#options
    const asked = there.digests(ranges)
    asked.catch(() => undefined) // thrown again below
    const ours: RangeDigest[] = []
    for (const range of ranges) ours.push(await here.digest(range, verifyLimits.rangeEntries))
    const theirs = await asked
    return ranges.filter((_, at) => !isEqual(ours[at] as RangeDigest, theirs[at] as AnsweredDigest))
  }

  async *#narrow(range: SurveyRange, entries: number): AsyncGenerator<readonly string[]> {
    const { here } = this.#options
    const smaller = Math.ceil(entries / cutInto)
    let { after } = range
    for (;;) {
      const pieces = await here.cut({ ...range, after }, { pieces: cutInto, entries: smaller })
      yield* this.#compare(pieces, smaller)
      const until = pieces.at(-1)?.until ?? range.until
      if (until === range.until) return
      after = until
    }
  }

  async *#listed(range: SurveyRange): AsyncGenerator<readonly string[]> {
    const { here, there } = this.#options
    const limit = verifyLimits.entries
    let { after } = range
    for (;;) {
      const rest = { ...range, after }
      const [ours, theirs] = await Promise.all([here.list(rest, limit), there.list(rest, limit)])
      // A full page says nothing of what lies behind it.
      const ends = [ours, theirs].flatMap((page) =>
        page.length < limit ? [] : [(page.at(-1) as SurveyEntry).key],
      )
      const end = ends.sort(byBytes)[0]
      const keys = differing(ours, theirs).filter(
        (key) => end === undefined || byBytes(key, end) <= 0,
      )
      if (keys.length > 0) yield keys
      if (end === undefined || end === after) return
      after = end
    }
  }
}

function isEqual(ours: RangeDigest, theirs: AnsweredDigest): boolean {
  if (ours.count !== theirs.count || theirs.digest === undefined) return false
  return ours.digest?.equals(theirs.digest) === true
}

function differing(ours: readonly SurveyEntry[], theirs: readonly SurveyEntry[]): string[] {
  const others = new Map(theirs.map((entry) => [entry.key, entry]))
  const keys: string[] = []
  for (const entry of ours) {
    const other = others.get(entry.key)
    others.delete(entry.key)
    if (other === undefined || !other.digest.equals(entry.digest)) keys.push(entry.key)
  }
  return [...keys, ...others.keys()]
}

/** As the index orders them; UTF-16 units would order otherwise. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
