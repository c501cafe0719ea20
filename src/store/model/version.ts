/**
 * Versions: a mutation's stamp, from a hybrid logical clock (48-bit milliseconds, 16-bit counter)
 * and the site that made it. The text form, sixteen hex digits, a hyphen and the site id, sorts as
 * the versions do, so the text is the type.
 *
 * Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.
 */
import { assert } from '../../base/assert.ts'
import type { ByteReader } from '../../base/byte-reader.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { ByteWriter } from '../../base/byte-writer.ts'
import type { Clock } from '../../base/clock.ts'

export type SiteId = string
export type Version = string & { readonly brand: 'Version' }

/** Lower-case letters, digits and inner hyphens, 1 to 32 of them. */
export const siteIdPattern = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

/** Of copies that are kept of writes that lost a conflict. No site may have it; it sorts behind all. */
export const keptSite: SiteId = 'z'.repeat(32)

export const counterMax = 0xffff
const timeMax = 2 ** 48 - 1
const versionPattern = /^[0-9a-f]{16}-[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

export function makeVersion(time: number, counter: number, site: SiteId): Version {
  assert(time >= 0 && time <= timeMax && counter >= 0 && counter <= counterMax, 'version range')
  const stamp = time.toString(16).padStart(12, '0') + counter.toString(16).padStart(4, '0')
  return `${stamp}-${site}` as Version
}

/** The version in `text`, or undefined when it is none. */
export function parseVersion(text: string): Version | undefined {
  return versionPattern.test(text) ? (text as Version) : undefined
}

/** Milliseconds since 1970 by the clock of the site that made it. */
export function timeOf(version: Version): number {
  return Number.parseInt(version.slice(0, 12), 16)
}

export function counterOf(version: Version): number {
  return Number.parseInt(version.slice(12, 16), 16)
}

export function siteOf(version: Version): SiteId {
  return version.slice(17)
}

/** The higher of two; undefined counts as lowest. */
export function higher(a: Version | undefined, b: Version | undefined): Version | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a > b ? a : b
}

export function encodeVersion(writer: ByteWriter, version: Version): void {
  writer.hex(version.slice(0, 16)).text(siteOf(version))
}

/** @throws MalformedBytesError */
export function decodeVersion(reader: ByteReader): Version {
  const stamp = reader.hex(8)
  const site = reader.text()
  if (!siteIdPattern.test(site)) throw new MalformedBytesError('a version names no valid site')
  return `${stamp}-${site}` as Version
}

/**
 * What the writer had seen of a slot: the highest version of each site, ascending by site. A
 * version vector, kept as versions because each names its site.
 */
export type Context = readonly Version[]

/** Sites that a change from elsewhere may name, and that may have written to one bucket. */
export const contextSitesMax = 256

/** True when whoever holds `context` had seen `version`. */
export function contextCovers(context: Context, version: Version): boolean {
  const site = siteOf(version)
  return context.some((seen) => siteOf(seen) === site && seen >= version)
}

/**
 * True when the write stamped `version` with `context` was made by someone who had seen `other`. A
 * site has always seen its own earlier writes, so contexts need not name the writer's own site.
 */
export function covers(
  write: { readonly version: Version; readonly context: Context },
  other: Version,
): boolean {
  if (siteOf(write.version) === siteOf(other) && write.version >= other) return true
  return contextCovers(write.context, other)
}

/** The smallest context that covers all that `context` and `versions` cover. */
export function joinContext(context: Context, versions: readonly Version[]): Context {
  const [only] = versions
  if (only !== undefined && versions.length === 1) {
    const replaced = replaceVersion(context, only)
    if (replaced !== undefined) return replaced
  }
  if (versions.every((version) => contextCovers(context, version))) return context
  const highest = new Map<SiteId, Version>()
  for (const version of [...context, ...versions]) {
    const site = siteOf(version)
    const seen = highest.get(site)
    if (seen === undefined || seen < version) highest.set(site, version)
  }
  return [...highest.keys()].sort().map((site) => highest.get(site) as Version)
}

/** The usual case, one more write of a site that is known: its version in place, the order stays. */
function replaceVersion(context: Context, version: Version): Context | undefined {
  const site = siteOf(version)
  for (let at = 0; at < context.length; at++) {
    const seen = context[at] as Version
    if (siteOf(seen) !== site) continue
    return seen >= version ? context : context.with(at, version)
  }
  return undefined
}

/** Hands out versions that rise, and exceed every version it was shown, whatever the wall clock does. */
export class VersionClock {
  readonly #clock: Clock
  readonly #site: SiteId
  #time = 0
  #counter = 0
  #issued: Version | undefined

  constructor(options: { readonly clock: Clock; readonly site: SiteId }) {
    this.#clock = options.clock
    this.#site = options.site
  }

  /** Every version that this site has made is at or below, and all that it makes from now on are above. */
  get issued(): Version {
    // Asked before the first one is made it stays: only what this site makes is news.
    this.#issued ??= makeVersion(this.#time, this.#counter, this.#site)
    return this.#issued
  }

  next(): Version {
    const wall = Math.max(0, Math.floor(this.#clock.now()))
    if (wall > this.#time) {
      this.#time = wall
      this.#counter = 0
    } else if (this.#counter < counterMax) {
      this.#counter++
    } else {
      this.#time++
      this.#counter = 0
    }
    this.#issued = makeVersion(this.#time, this.#counter, this.#site)
    return this.#issued
  }

  /** Every later version exceeds `version`. The caller has checked its skew. */
  observe(version: Version): void {
    const time = timeOf(version)
    const counter = counterOf(version)
    if (time > this.#time || (time === this.#time && counter > this.#counter)) {
      this.#time = time
      this.#counter = counter
    }
  }

  /** How far `version` is ahead of wall time, milliseconds; negative when it lies in the past. */
  skewOf(version: Version): number {
    return timeOf(version) - this.#clock.now()
  }
}
