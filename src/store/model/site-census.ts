/**
 * How many sites may have written here. A bucket remembers the highest version of each site, and so
 * does every context; a sender that made up sites by the thousand would make both outgrow what
 * decodes again. Nobody has hundreds of sites: a change that would lead there is refused.
 */
import { TooManySitesError } from './errors.ts'
import type { Mutation } from './mutation.ts'
import {
  type Context,
  contextSitesMax,
  joinContext,
  type SiteId,
  siteOf,
  type Version,
} from './version.ts'

export class SiteCensus {
  readonly #seenIn: (bucket: string) => Context
  /** Of this run: what is pending is in no bucket's entry yet. */
  readonly #sites = new Set<SiteId>()

  /** @param seenIn the highest version of each site in a bucket, without what is pending */
  constructor(seenIn: (bucket: string) => Context) {
    this.#seenIn = seenIn
  }

  /** Counts the author of a change in. @throws TooManySitesError */
  admit({ slot, version }: Mutation): void {
    const site = siteOf(version)
    const seen = this.#seenIn(slot.bucket)
    const isNew = seen.length >= contextSitesMax && !seen.some((other) => siteOf(other) === site)
    if (isNew || (this.#sites.size >= contextSitesMax && !this.#sites.has(site))) {
      throw new TooManySitesError(`more than ${contextSitesMax} sites would have written here`)
    }
    this.#sites.add(site)
  }
}

interface Write {
  readonly version: Version
  readonly context: Context
}

/** Whether the contexts of two writes of one slot can be joined. @throws TooManySitesError */
export function checkJoin(one: Write, other: Write): void {
  if (one.context.length + other.context.length + 2 <= contextSitesMax) return
  const joined = joinContext(one.context, [...other.context, one.version, other.version])
  if (joined.length <= contextSitesMax) return
  throw new TooManySitesError(`what was seen here would name ${joined.length} sites`)
}
