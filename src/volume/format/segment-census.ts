/** Count and digest of a set of segments: enough to know that none is missing. */
import { checksum } from '../../base/checksum.ts'
import type { SegmentUse } from './record.ts'

export interface SegmentCensus {
  readonly count: number
  /** The checksums of every (segment, generation), combined by exclusive or. */
  readonly digest: number
}

export function censusOf(uses: Iterable<SegmentUse>): SegmentCensus {
  const bytes = Buffer.alloc(8)
  let count = 0
  let digest = 0
  for (const use of uses) {
    bytes.writeUInt32LE(use.segment, 0)
    bytes.writeUInt32LE(use.generation, 4)
    digest = (digest ^ checksum(bytes)) >>> 0
    count++
  }
  return { count, digest }
}

export const noCensus: SegmentCensus = { count: 0, digest: 0 }

/** Of two sets that share no segment. */
export function combineCensus(a: SegmentCensus, b: SegmentCensus): SegmentCensus {
  return { count: a.count + b.count, digest: (a.digest ^ b.digest) >>> 0 }
}

/** Of what `whole` has and `part`, a subset of it, has not. */
export function censusWithout(whole: SegmentCensus, part: SegmentCensus): SegmentCensus {
  return { count: whole.count - part.count, digest: (whole.digest ^ part.digest) >>> 0 }
}

export function sameCensus(a: SegmentCensus, b: SegmentCensus): boolean {
  return a.count === b.count && a.digest === b.digest
}
