/** Conditional requests: RFC 9110, section 13, with S3's leniency about quotes. */
import type { IncomingHttpHeaders } from 'node:http'
import type { WriteConditions } from '../store/model/object-store.ts'
import { S3Error } from './errors.ts'
import { parseHttpDate } from './http-date.ts'

/** What a condition is held against. */
export interface Validators {
  /** Without quotes. */
  readonly etag: string
  /** Milliseconds; compared in whole seconds, as HTTP dates have no finer ones. */
  readonly lastModified: number
}

export type ReadOutcome = 'proceed' | 'not-modified' | 'failed'

/**
 * The outcome for GET and HEAD, in the order of RFC 9110, 13.2.2: an entity tag beats a date.
 * @throws S3Error InvalidArgument when a list of entity tags does not parse
 */
export function evaluateReadConditions(
  headers: IncomingHttpHeaders,
  current: Validators,
): ReadOutcome {
  const ifMatch = parseEntityTags('If-Match', headers['if-match'])
  if (ifMatch !== undefined) {
    if (!ifMatch.some((tag) => tag === '*' || tag === current.etag)) return 'failed'
  } else if (isModifiedSince(headers['if-unmodified-since'], current) === true) {
    return 'failed'
  }
  const ifNoneMatch = parseEntityTags('If-None-Match', headers['if-none-match'])
  if (ifNoneMatch !== undefined) {
    const seen = ifNoneMatch.some((tag) => tag === '*' || withoutWeakness(tag) === current.etag)
    return seen ? 'not-modified' : 'proceed'
  }
  return isModifiedSince(headers['if-modified-since'], current) === false
    ? 'not-modified'
    : 'proceed'
}

/**
 * Whether a Range still means what the client thinks (If-Range): only a strong entity tag or the
 * exact date prove that it holds parts of the same object.
 */
export function rangeStillApplies(ifRange: string | undefined, current: Validators): boolean {
  if (ifRange === undefined) return true
  const date = parseHttpDate(ifRange)
  if (date !== undefined) return date === wholeSeconds(current.lastModified)
  return ifRange.trim().replace(/^"(.*)"$/, '$1') === current.etag
}

/**
 * The conditions of a write, for the sequencer to decide: nobody else sees what is pending.
 * @throws S3Error InvalidArgument when a list of entity tags does not parse
 */
export function parseWriteConditions(headers: IncomingHttpHeaders): WriteConditions | undefined {
  const ifMatch = parseEntityTags('If-Match', headers['if-match'])
  const ifNoneMatch = parseEntityTags('If-None-Match', headers['if-none-match'])
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: ifNoneMatch.map(withoutWeakness) }),
  }
}

const entityTag = /[ \t]*(W\/)?(?:"([\x21\x23-\x7e\x80-\xff]*)"|([^\s",]+))[ \t]*(,|$)/y

/** Weak tags keep their `W/`, so that a strong comparison never finds them. */
function parseEntityTags(name: string, header: string | undefined): readonly string[] | undefined {
  if (header === undefined || header.trim() === '') return undefined
  const tags: string[] = []
  entityTag.lastIndex = 0
  let more = true
  while (more) {
    const match = entityTag.exec(header)
    if (match === null) {
      throw new S3Error('InvalidArgument', { message: `${name} is not a list of entity tags.` })
    }
    tags.push((match[1] ?? '') + (match[2] ?? match[3] ?? ''))
    more = match[4] === ','
  }
  return tags
}

function withoutWeakness(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag
}

/** Undefined when there is no date, or none that parses: such a header is ignored. */
function isModifiedSince(header: string | undefined, current: Validators): boolean | undefined {
  const date = header === undefined ? undefined : parseHttpDate(header)
  return date === undefined ? undefined : wholeSeconds(current.lastModified) > date
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000
}
