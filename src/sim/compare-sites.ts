/** What must hold between sites: at any moment of a link, and of all of them once everything is quiet. */
import type { FeedPlace } from '../store/model/object-store.ts'
import type { Version } from '../store/model/version.ts'
import { emptyBucket } from '../store/tables/bucket-entry.ts'
import { ledgersIn, placeText } from './recount.ts'
import type { SiteContents } from './site-contents.ts'
import { demand } from './violation.ts'

/**
 * What the ledger of `from` says is done, `to` has, or something newer: a place leaves `pending` only
 * after the remote's durable acknowledgement.
 *
 * @throws Violation
 */
export function checkShipped(
  from: { readonly name: string; readonly contents: SiteContents },
  to: { readonly name: string; readonly contents: SiteContents },
): void {
  const ledger = ledgersIn(from.contents).get(to.name)
  if (ledger?.isFilled !== true) return
  const refused = new Set(
    from.contents.letters
      .filter(({ remote }) => remote === to.name)
      .map(({ letter }) => letter.seq),
  )
  const deleted = new Set([...from.contents.tombstones.values()].map(({ seq }) => seq))
  for (const place of from.contents.places.values()) {
    if (ledger.isPending(place.seq) || refused.has(place.seq)) continue
    const removes = place.slot.kind === 'floor' || deleted.has(place.seq)
    if (ledger.isHeld({ ...place, removes })) continue
    if (isCovered(place, from.contents)) continue
    const reached = reachedBy(place, to.contents)
    const say = (): string =>
      `${from.name} counts ${placeText(place)} as done, ${to.name} has ${reached || 'nothing'}`
    demand(reached >= place.version, 'shipped', say)
  }
}

/** A put under its own site's floor needs not be sent any more. */
function isCovered({ slot, version }: FeedPlace, contents: SiteContents): boolean {
  const { floor } = contents.buckets.get(slot.bucket) ?? emptyBucket
  return slot.kind === 'object' && floor !== undefined && version <= floor
}

function reachedBy({ slot }: FeedPlace, contents: SiteContents): string {
  const bucket = contents.buckets.get(slot.bucket) ?? emptyBucket
  if (slot.kind === 'bucket') return highest(bucket.created, bucket.deleted)
  if (slot.kind === 'floor') return bucket.floor ?? ''
  const name = `${slot.bucket}/${slot.key}`
  return highest(
    contents.live.get(name)?.version,
    contents.tombstones.get(name)?.version,
    bucket.floor,
  )
}

function highest(...versions: readonly (Version | undefined)[]): string {
  let found = ''
  for (const version of versions) if (version !== undefined && version > found) found = version
  return found
}

/** @throws Violation unless both hold the same objects, metadata, deletions and buckets */
export function checkEqual(
  a: { readonly name: string; readonly contents: SiteContents },
  b: { readonly name: string; readonly contents: SiteContents },
): void {
  const left = describe(a.contents)
  const right = describe(b.contents)
  for (const subject of new Set([...left.keys(), ...right.keys()])) {
    const one = left.get(subject) ?? 'nothing'
    const other = right.get(subject) ?? 'nothing'
    demand(
      one === other,
      'convergence',
      () => `${subject} is ${one} at ${a.name}, ${other} at ${b.name}`,
    )
  }
}

/** Everything that sites must agree on, as text. What lies under a floor is absent, swept or not. */
function describe(contents: SiteContents): Map<string, string> {
  const texts = new Map<string, string>()
  const isAbsent = (slot: string, version: Version): boolean => {
    const { floor } = contents.buckets.get(slot.slice(0, slot.indexOf('/'))) ?? emptyBucket
    return floor !== undefined && version <= floor
  }
  for (const [slot, { version, meta }] of contents.live) {
    if (isAbsent(slot, version)) continue
    const { contentHash, ...rest } = meta
    const hash = `${contentHash.algorithm} ${contentHash.digest.toString('hex')}`
    texts.set(slot, `${version} ${JSON.stringify(rest)} ${hash}`)
  }
  for (const [slot, { version }] of contents.tombstones) {
    if (!isAbsent(slot, version)) texts.set(slot, `deleted ${version}`)
  }
  for (const [bucket, { created, deleted, floor }] of contents.buckets) {
    texts.set(`bucket ${bucket}`, `created ${created} deleted ${deleted} floor ${floor}`)
  }
  return texts
}
