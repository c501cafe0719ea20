/**
 * What clients of two sites wrote, and what they were answered, held against what is there in the
 * end. Judged from outside, by times: where the order of two writes cannot be told, either is right.
 */

/** 0 or 1. */
export type SiteNumber = 0 | 1

export interface Write {
  readonly site: SiteNumber
  readonly key: string
  /** Of the object's bytes; undefined for a delete. */
  readonly etag: string | undefined
  readonly start: number
  /** When it was answered, or when it was clear that it will not be; then it may be there or not. */
  end: number
  isAnswered: boolean
}

export interface ListedLoser {
  readonly key: string
  /** Undefined for a delete. */
  readonly etag: string | undefined
}

export interface FinalState {
  /** ETags by key. */
  readonly objects: ReadonlyMap<string, string>
  readonly losers: readonly ListedLoser[]
  /** Whether nothing of what `site` wrote can have reached the other one between two times. */
  readonly wasCutOff: (site: SiteNumber, from: number, to: number) => boolean
}

export class WriteHistory {
  readonly #writes = new Map<string, Write[]>()
  readonly #now: () => number
  #count = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** Answered. */
  get count(): number {
    return this.#count
  }

  begin(write: Pick<Write, 'site' | 'key' | 'etag'>): Write {
    const begun = { ...write, start: this.#now(), end: Number.POSITIVE_INFINITY, isAnswered: false }
    const ofKey = this.#writes.get(write.key) ?? []
    this.#writes.set(write.key, [...ofKey, begun])
    return begun
  }

  answered(write: Write): void {
    write.end = this.#now()
    write.isAnswered = true
    this.#count++
  }

  /** Its site was killed: it took effect before, or never will. */
  lost(write: Write): void {
    write.end = this.#now()
  }

  /** In words, what should not be so. */
  findings(state: FinalState): readonly string[] {
    const found: string[] = []
    for (const key of state.objects.keys()) {
      if (!this.#writes.has(key)) found.push(`${key} is there, and nobody wrote it`)
    }
    for (const [key, writes] of this.#writes) {
      const etag = state.objects.get(key)
      const wrong = etag === undefined ? wronglyAbsent(writes) : wronglyThere(writes, etag)
      if (wrong !== undefined) found.push(`${key} ${wrong}`)
      for (const write of writes) {
        if (!write.isAnswered || write.etag === etag || isAccountedFor(write, writes, state))
          continue
        found.push(`${key}: ${nameOf(write)} was answered, and is neither there, seen nor listed`)
      }
    }
    return found
  }
}

function wronglyThere(writes: readonly Write[], etag: string): string | undefined {
  const write = writes.find((one) => one.etag === etag)
  if (write === undefined) return `has the content ${etag}, which nobody wrote`
  const later = laterAt(write, writes)
  return later && `is what ${nameOf(write)} wrote, although ${nameOf(later)} was answered later`
}

function wronglyAbsent(writes: readonly Write[]): string | undefined {
  const puts = writes.filter(({ etag }) => etag !== undefined)
  if (!puts.some(({ isAnswered }) => isAnswered)) return undefined
  const deletes = writes.filter(({ etag }) => etag === undefined)
  // Deletes that come later may have found nothing.
  if (deletes.some((one) => laterAt(one, puts) === undefined)) return undefined
  return 'is absent, although each delete was followed by a put at its site'
}

/** One that the same site answered and that began when `write` was over. */
function laterAt({ site, end }: Write, writes: readonly Write[]): Write | undefined {
  return writes.find((one) => one.isAnswered && one.site === site && one.start > end)
}

function isAccountedFor(write: Write, writes: readonly Write[], state: FinalState): boolean {
  if (write.etag === undefined && mayHaveFoundNothing(write, writes, state)) return true
  if (state.losers.some((loser) => loser.key === write.key && loser.etag === write.etag))
    return true
  return writes.some((one) => one !== write && mayHaveSeen(one, write, state))
}

/** Whether `one` can have replaced `write` knowing it. */
function mayHaveSeen(one: Write, write: Write, { wasCutOff }: FinalState): boolean {
  if (one.end <= write.start) return false
  return one.site === write.site || !wasCutOff(write.site, write.start, one.end)
}

/** Whether another delete can have come before this one, which was no write then. */
function mayHaveFoundNothing(
  write: Write,
  writes: readonly Write[],
  { wasCutOff }: FinalState,
): boolean {
  const before = writes.filter((one) => one !== write && one.start < write.end)
  if (!before.some((one) => one.etag !== undefined && one.site === write.site)) return true
  return before.some(
    (one) =>
      one.etag === undefined &&
      (one.site === write.site || !wasCutOff(one.site, one.start, write.end)),
  )
}

function nameOf({ etag, site, start }: Write): string {
  const what = etag === undefined ? 'a delete' : `a put of ${etag}`
  return `${what} at site ${site} (${start.toFixed(0)} ms)`
}
