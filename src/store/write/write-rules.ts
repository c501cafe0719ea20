/** Pure rules of a write: what it has seen, and whether the object is in the state it demands. */

import { PreconditionFailedError } from '../model/errors.ts'
import type { PurgeMutation } from '../model/mutation.ts'
import type { ObjectName, WriteConditions } from '../model/object-store.ts'
import {
  type Context,
  contextSitesMax,
  joinContext,
  siteOf,
  type Version,
} from '../model/version.ts'
import type { LiveEntry, SlotEntry } from '../tables/slot-entry.ts'
import type { Floor } from './current-slot.ts'

/** What a new local write has seen: the entry it replaces, and all that one had seen; perhaps what is elsewhere. */
export function contextAfter(
  entry: SlotEntry | undefined,
  version: Version,
  elsewhere?: Version,
): Context {
  const seen = [entry?.version, elsewhere].filter((one) => one !== undefined)
  if (seen.length === 0) return []
  return withoutSite(joinContext(entry?.context ?? [], seen), siteOf(version))
}

/**
 * The purge as it takes the place of the one before, which nobody will hear of any more: what the author
 * of either had seen is gone without a word.
 */
export function behindFloor(purge: PurgeMutation, floor: Floor | undefined): PurgeMutation {
  if (floor === undefined) return purge
  const joined = joinContext(purge.context, [...floor.context, floor.version])
  const context = withoutSite(joined, siteOf(purge.version))
  return context.length > contextSitesMax ? purge : { ...purge, context }
}

export function withoutSite(context: Context, site: string): Context {
  return context.some((version) => siteOf(version) === site)
    ? context.filter((version) => siteOf(version) !== site)
    : context
}

/** The refusal of a write whose conditions do not hold of what is there. */
export function refusalOf(
  name: ObjectName,
  conditions: WriteConditions | undefined,
  current: { readonly live: LiveEntry | undefined; readonly after: Promise<void> | undefined },
):
  | {
      readonly kind: 'refused'
      readonly error: PreconditionFailedError
      readonly after: Promise<void> | undefined
    }
  | undefined {
  if (conditions === undefined || holds(conditions, current.live)) return undefined
  const error = new PreconditionFailedError({ bucket: name.bucket, key: name.key })
  return { kind: 'refused', error, after: current.after }
}

function holds(conditions: WriteConditions, live: LiveEntry | undefined): boolean {
  const matches = (tags: readonly string[]): boolean =>
    live !== undefined && (tags.includes('*') || tags.includes(live.meta.etag))
  if (conditions.ifMatch !== undefined && !matches(conditions.ifMatch)) return false
  return conditions.ifNoneMatch === undefined || !matches(conditions.ifNoneMatch)
}
