/**
 * The copy of a write that lost a conflict, under `KEY.conflict-SITE-STAMP`. Its name, version and
 * context follow from the write alone, and from the floor when it lost to a purge: every site that
 * has the bytes makes the very same put, so that copies made at several sites are one.
 *
 * Its version bears a site id that no site may have and that sorts behind all others. No site takes a
 * copy for its own write, so each ships it to all; and a copy with the stamp of a floor lies above
 * that floor.
 */
import { keyBytesMax } from './names.ts'
import type { ObjectName } from './object-store.ts'
import {
  counterOf,
  keptSite,
  makeVersion,
  parseVersion,
  siteOf,
  timeOf,
  type Version,
} from './version.ts'

const suffixPattern = /\.conflict-([a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?)-([0-9a-f]{16})$/

export interface KeptCopy extends ObjectName {
  readonly version: Version
}

/** True of the version that a copy is put with. */
function isKeptVersion(version: Version): boolean {
  return siteOf(version) === keptSite
}

/** The write that a version stands for: of a copy that is the write which lost, else the version itself. */
export function originOf(key: string, version: Version): Version {
  if (!isKeptVersion(version)) return version
  const [, site, stamp] = suffixPattern.exec(key) ?? []
  return parseVersion(`${stamp}-${site}`) ?? version
}

/**
 * Where the loser is kept. A copy that loses stays under its own key, and only when it lost to a purge
 * that had not seen it: whoever overwrites or deletes a copy means it.
 *
 * @param floor the purge's version, when the write lost to a purge
 */
export function copyOf(
  name: ObjectName,
  loser: Version,
  floor: Version | undefined,
): KeptCopy | undefined {
  const isCopy = isKeptVersion(loser)
  if (isCopy && floor === undefined) return undefined
  const key = isCopy ? name.key : conflictKey(name.key, loser)
  return { bucket: name.bucket, key, version: keptVersionOf(loser, floor) }
}

/**
 * Where a conflict that was resolved leaves a tombstone, for the other sites: its loser's copy would lie
 * there. Who deletes that slot having seen both writes has dealt with what lost.
 */
export function markOf({
  bucket,
  key,
  loser,
}: ObjectName & { readonly loser: { readonly version: Version } }): ObjectName {
  return { bucket, key: conflictKey(key, loser.version) }
}

/** The version that a loser's copy has, or would have. */
export function keptVersionOf(loser: Version, floor: Version | undefined): Version {
  return keptVersion(floor ?? loser)
}

/** Version and site make the name unique, so a key that is too long may lose its end. */
function conflictKey(key: string, loser: Version): string {
  const suffix = `.conflict-${siteOf(loser)}-${loser.slice(0, 16)}`
  const room = keyBytesMax - suffix.length
  if (Buffer.byteLength(key) <= room) return key + suffix
  let kept = ''
  let bytes = 0
  for (const character of key) {
    bytes += Buffer.byteLength(character)
    if (bytes > room) break
    kept += character
  }
  return kept + suffix
}

function keptVersion(stamp: Version): Version {
  return makeVersion(timeOf(stamp), counterOf(stamp), keptSite)
}
