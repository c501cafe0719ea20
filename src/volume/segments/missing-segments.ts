/**
 * The bulk segments that should be there and are not. They stay in the superblock's census, so that
 * every later opening knows of them too, and their slots stay theirs, so that the files can come back.
 */
import type { SegmentUse } from '../format/record.ts'
import { censusOf, combineCensus, noCensus, type SegmentCensus } from '../format/segment-census.ts'

/** So many are named in a message. */
const namesMax = 8

/** Missing segments that only count and digest tell of. */
export interface UnnamedSegments {
  readonly census: SegmentCensus
  /** Their generations are at most this, and none of `found`. */
  readonly through: number
  readonly found: ReadonlySet<number>
  /** Their slots are below this. */
  readonly slotsEnd: number
}

export class MissingSegments {
  readonly #byGeneration = new Map<number, SegmentUse>()
  #unnamed: UnnamedSegments | undefined

  add({ segment, generation }: SegmentUse): void {
    this.#byGeneration.set(generation, { segment, generation })
  }

  addUnnamed(unnamed: UnnamedSegments): void {
    this.#unnamed = unnamed
  }

  get uses(): readonly SegmentUse[] {
    return [...this.#byGeneration.values()]
  }

  get census(): SegmentCensus {
    return combineCensus(censusOf(this.uses), this.#unnamed?.census ?? noCensus)
  }

  /** One more than any slot that may be one of theirs. */
  get slotsEnd(): number {
    return this.uses.reduce(
      (end, { segment }) => Math.max(end, segment + 1),
      this.#unnamed?.slotsEnd ?? 0,
    )
  }

  /** Whether it is this use of a segment that is missing, and not one that was freed. */
  has({ segment, generation }: SegmentUse): boolean {
    if (this.#byGeneration.get(generation)?.segment === segment) return true
    const unnamed = this.#unnamed
    return unnamed !== undefined && generation <= unnamed.through && !unnamed.found.has(generation)
  }

  /** Whether the slot must be left alone. */
  keeps(slot: number): boolean {
    if (this.#unnamed !== undefined && slot < this.#unnamed.slotsEnd) return true
    return this.uses.some(({ segment }) => segment === slot)
  }

  /** In words; undefined when nothing is missing. */
  describe(): string | undefined {
    const names = this.uses.map(
      ({ segment, generation }) => `segment ${segment} of generation ${generation}`,
    )
    const rest = Math.max(0, names.length - namesMax) + (this.#unnamed?.census.count ?? 0)
    if (names.length === 0 && rest === 0) return undefined
    const listed = [...names.slice(0, namesMax), ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
    return `bulk data is missing (${listed}): objects with bytes in it cannot be read`
  }
}
