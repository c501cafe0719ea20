/**
 * What of the feed was given up for a remote: dead letters that somebody discarded, and the deletes and
 * purges that were held. It lies in the remote's own record, which stands in the log for as long as the
 * link does, so that what was given up is not offered again when the index is built anew. Plain data,
 * pure functions; whatever is left out errs on the side of sending once more.
 */
import type { ByteReader } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'

/** Deletes and purges at places after `after` up to `through`. */
export interface DiscardedRange {
  readonly after: number
  readonly through: number
}

export interface Discards {
  /** Places of dead letters, ascending. */
  readonly letters: readonly number[]
  /** Ascending, and apart from each other. */
  readonly removals: readonly DiscardedRange[]
}

export const noDiscards: Discards = { letters: [], removals: [] }

/** More than these are not kept: the oldest make room. */
const discardedLettersMax = 10_000
const discardedRangesMax = 256

export function isBlank({ letters, removals }: Discards): boolean {
  return letters.length === 0 && removals.length === 0
}

export function isDiscarded(
  { letters, removals }: Discards,
  { seq, removes }: { readonly seq: number; readonly removes: boolean },
): boolean {
  if (has(letters, seq)) return true
  return removes && removals.some(({ after, through }) => seq > after && seq <= through)
}

export function withLetters(discards: Discards, seqs: readonly number[]): Discards {
  const letters = [...new Set([...discards.letters, ...seqs])].sort((a, b) => a - b)
  return { ...discards, letters }
}

export function withRemovals(discards: Discards, range: DiscardedRange): Discards {
  if (range.through <= range.after) return discards
  const removals: DiscardedRange[] = []
  const all = [...discards.removals, range].sort((a, b) => a.after - b.after)
  for (const next of all) {
    const last = removals.at(-1)
    if (last === undefined || next.after > last.through) removals.push(next)
    else {
      const through = Math.max(last.through, next.through)
      removals.splice(-1, 1, { after: last.after, through })
    }
  }
  return { ...discards, removals }
}

/** These places are to be sent after all. */
export function withoutPlaces(discards: Discards, seqs: readonly number[]): Discards {
  const gone = new Set(seqs)
  const letters = discards.letters.filter((seq) => !gone.has(seq))
  const removals = discards.removals.flatMap((range) => {
    const parts: DiscardedRange[] = []
    let { after } = range
    const inside = [...gone].filter((seq) => seq > after && seq <= range.through)
    for (const seq of inside.sort((a, b) => a - b)) {
      if (seq - 1 > after) parts.push({ after, through: seq - 1 })
      after = seq
    }
    return after < range.through ? [...parts, { after, through: range.through }] : parts
  })
  return { letters, removals }
}

/** Everything after `from` up to `through` is to be sent after all. */
export function withoutRange(
  { letters, removals }: Discards,
  { after: from, through }: DiscardedRange,
): Discards {
  return {
    letters: letters.filter((seq) => seq <= from || seq > through),
    removals: removals.flatMap((range) =>
      [
        { after: range.after, through: Math.min(range.through, from) },
        { after: Math.max(range.after, through), through: range.through },
      ].filter((part) => part.after < part.through),
    ),
  }
}

/** As much of it as takes no more than so many bytes, the newest first. */
export function fitting(discards: Discards, bytesMax: number): Discards {
  let letters = discards.letters.slice(-discardedLettersMax)
  let removals = discards.removals.slice(-discardedRangesMax)
  while (encodeDiscards({ letters, removals }).length > bytesMax) {
    if (letters.length + removals.length === 0) return noDiscards
    letters = letters.slice(Math.ceil(letters.length / 8))
    removals = removals.slice(Math.ceil(removals.length / 8))
  }
  return { letters, removals }
}

/** Each number as its distance from the one before. */
export function encodeDiscards({ letters, removals }: Discards): Buffer {
  const writer = new ByteWriter(64).varint(letters.length)
  let before = 0
  for (const seq of letters) {
    writer.varint(seq - before)
    before = seq
  }
  writer.varint(removals.length)
  before = 0
  for (const { after, through } of removals) {
    writer.varint(after - before).varint(through - after)
    before = through
  }
  return writer.finish()
}

/** @throws MalformedBytesError */
export function decodeDiscards(reader: ByteReader): Discards {
  const letters: number[] = []
  for (let left = reader.varint(), seq = 0; left > 0; left--) {
    seq += reader.varint()
    letters.push(seq)
  }
  const removals: DiscardedRange[] = []
  for (let left = reader.varint(), before = 0; left > 0; left--) {
    const after = before + reader.varint()
    before = after + reader.varint()
    removals.push({ after, through: before })
  }
  return { letters, removals }
}

function has(ascending: readonly number[], seq: number): boolean {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = ascending[middle] as number
    if (at === seq) return true
    if (at < seq) low = middle + 1
    else high = middle
  }
  return false
}
