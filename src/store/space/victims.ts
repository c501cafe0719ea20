/**
 * Which segment is cleaned next: the one that gives most for what it costs. What it costs is reading
 * and writing again what is live in it; what it gives is the rest, and that counts for more where the
 * live part is old, since it will not die soon and the space will stay whole.
 */
import type { SegmentInfo } from '../../volume/volume.ts'

export interface Candidate {
  readonly segment: SegmentInfo
  /** Bytes that its live records take when they are written again. */
  readonly cost: number
}

/** A chunk takes up to so much of its segment, and is not begun in what is less. */
const chunkShare = 8

/**
 * A segment that lies in a slot takes all of it. Where the next chunk did not fit, the end stays empty,
 * and would again behind the copies: that is no gain, and a full volume would be copied for it forever.
 */
export function gainOf({ segment, cost }: Candidate): number {
  const { stream, bytes, filledBytes } = segment
  const lost = stream === 'bulk' ? Math.min(bytes - filledBytes, bytes / chunkShare) : 0
  return bytes - lost - cost
}

/** The best of them; undefined of none. Age is counted in segments that were opened since. */
export function bestOf(
  candidates: Iterable<Candidate>,
  newestGeneration: number,
): Candidate | undefined {
  let best: Candidate | undefined
  let highest = Number.NEGATIVE_INFINITY
  for (const candidate of candidates) {
    const { segment, cost } = candidate
    const age = newestGeneration - segment.generation + 1
    const score = (gainOf(candidate) * Math.sqrt(age)) / (segment.bytes + cost)
    if (score <= highest) continue
    best = candidate
    highest = score
  }
  return best
}
