/** What a remote holds of one object, as the control plane tells it. */
import type { CurrentObject, ObjectThere } from '../../admin/protocol.ts'
import { isoTime } from '../../base/iso-time.ts'
import type { Held } from '../../replication/reads/remote-look.ts'
import type { ObjectMeta } from '../../store/model/mutation.ts'
import type { Version } from '../../store/model/version.ts'

export function objectThere(held: Held | { readonly unknown: string }): ObjectThere {
  const nothing = { object: null, version: null, reason: null }
  if ('unknown' in held) return { ...nothing, state: 'unknown', reason: held.unknown }
  const { put, deleted, floor } = held
  const isBelow = (version: Version): boolean => floor !== undefined && version <= floor
  if (put !== undefined && !isBelow(put.version)) {
    return { ...nothing, state: 'object', object: objectFacts(put) }
  }
  if (deleted !== undefined && !isBelow(deleted)) {
    return { ...nothing, state: 'deleted', version: deleted }
  }
  if (floor !== undefined) return { ...nothing, state: 'purged', version: floor }
  return { ...nothing, state: 'absent' }
}

export function objectFacts({
  version,
  meta,
}: {
  readonly version: Version
  readonly meta: ObjectMeta
}): CurrentObject {
  return {
    version,
    bytes: meta.size,
    etag: meta.etag,
    last_modified: isoTime(meta.lastModified),
    content_type: meta.headers['content-type'] ?? null,
  }
}
