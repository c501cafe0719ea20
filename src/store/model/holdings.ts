/**
 * What a site has all of: of each author, every write up to a version. The highest version that was
 * seen of an author says less, since older ones may still be on their way; a purge that went by it would
 * drop them without a word. So a purge states this instead (`Sequencer.purge`), and what it does not
 * cover counts as unseen at every site alike.
 *
 * Sites tell each other: whoever has sent everything up to a place of his feed says what he had all of
 * when he stood there. That is true for good, passes from site to site, and where nothing is known,
 * nothing is stated.
 */
import type { ByteReader } from '../../base/byte-reader.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { ByteWriter } from '../../base/byte-writer.ts'
import { decodeContext, encodeContext } from './mutation.ts'
import {
  decodeFilter,
  encodeFilter,
  isSameFilter,
  isWanted,
  type PlaceFilter,
} from './place-filter.ts'
import { type Context, contextCovers, contextSitesMax, joinContext } from './version.ts'

export interface Holdings {
  /** Of buckets that it wants only in part it says nothing. */
  readonly scope: PlaceFilter
  readonly upTo: Context
}

/** Whether every object of the bucket is meant. */
export function isWholly(scope: PlaceFilter, bucket: string): boolean {
  const { prefixes, excludePrefixes } = scope
  if (prefixes.length + excludePrefixes.length > 0) return false
  return isWanted(scope, { kind: 'floor', bucket })
}

/** What both say; of another scope than before, only what is said now. */
export function joinHoldings(
  before: Holdings | undefined,
  now: Holdings | undefined,
): Holdings | undefined {
  if (before === undefined || now === undefined) return now ?? before
  if (!isSameFilter(before.scope, now.scope)) return now
  const upTo = joinContext(before.upTo, now.upTo)
  return upTo.length > contextSitesMax ? now : { scope: now.scope, upTo }
}

/** Whether `now` says anything that `before` does not. */
export function saysMore(before: Holdings | undefined, now: Holdings | undefined): boolean {
  if (now === undefined) return false
  if (before === undefined || !isSameFilter(before.scope, now.scope)) return now.upTo.length > 0
  return now.upTo.some((version) => !contextCovers(before.upTo, version))
}

export function encodeHoldings(writer: ByteWriter, { scope, upTo }: Holdings): void {
  encodeContext(writer.raw(encodeFilter(scope)), upTo)
}

/** @throws MalformedBytesError */
export function decodeHoldings(reader: ByteReader): Holdings {
  const scope = decodeFilter(reader)
  const upTo = decodeContext(reader)
  if (upTo.length <= contextSitesMax) return { scope, upTo }
  throw new MalformedBytesError(`holdings name more than ${contextSitesMax} sites`)
}
