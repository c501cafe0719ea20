/**
 * The replication wire, version 1: paths, documents and limits. The documents here are JSON;
 * batches and their answers are binary (`batch-codec.ts`, `answer-codec.ts`). Every byte is
 * described in docs/replication-protocol.md.
 *
 * It promises that what was parsed is sane in form and bounded. It must never know who asks and why.
 */
import { type ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { keptSite, siteIdPattern } from '../../store/model/version.ts'
import { hideSecrets } from './hide-secrets.ts'

export const protocolVersion = 1

export const replicationPaths = {
  handshake: '/admin/replication/handshake',
  batch: '/admin/replication/batch',
  completions: '/admin/replication/completions',
  farewell: '/admin/replication/farewell',
  /** Followed by the ticket as 64 hex digits: GET pulls, PUT pushes. */
  blob: '/admin/replication/blob/',
  /** What a site that compares asks: `verify-documents.ts`. */
  digest: '/admin/replication/digest',
  fetch: '/admin/replication/fetch',
  /** Single objects, for a site that lacks them or their bytes: `read-documents.ts`. */
  read: '/admin/replication/read',
  mend: '/admin/replication/mend',
} as const

/** Beside a Content-Encoding on a batch: how many bytes it has when it is decoded. */
export const decodedLengthHeader = 'comio-decoded-length'

/** What a site that compares asks: for digests, answered with JSON, or for changes, with a batch. */
export type Inquiry = 'digest' | 'fetch'

/** The filter of a remote that receives everything. */
export const noFilterHash = 'all'

export const ticketBytes = 32

/** A completions query waits no longer than this, whatever it asks for. */
export const completionsWaitMsMax = 20_000

/** Bounds the JSON documents in both directions. */
export const documentBytesMax = 1024 * 1024

/** Seqs named by one completions query; more pulls than this are never outstanding. */
export const completionsCountMax = 10_000

const termMax = 2 ** 40

export type SiteRole = 'primary' | 'replica'

/** What a site is to clients. Of two primaries the one with the lower term steps down. */
export interface Standing {
  readonly role: SiteRole
  /** Raised by each promotion above every term that was heard of. */
  readonly term: number
}

/** `POST .../handshake`: who sends. */
export interface Hello {
  readonly protocol: number
  readonly volumeId: string
  readonly incarnation: string
  /** Wall ms of this incarnation's beginning: older versions of the same site are not its own. */
  readonly incarnationSince: number
  readonly siteId: string
  /** Where the receiver pulls large objects from: http(s), no credentials. */
  readonly advertiseUrl: string
  readonly wallTime: number
  readonly filterHash: string
  /** The highest seq of the sender's feed. */
  readonly head: number
  /** Names the link, and rises with every new one; 0 from a sender that does not say. */
  readonly epoch: number
  /** Absent from a site that does not know of roles. */
  readonly standing?: Standing | undefined
  /** Only asks who answers: the receiver is not to take this for the sender's link. */
  readonly asksOnly?: boolean | undefined
}

/** `POST .../farewell`: the sender has removed this remote, and nothing may come under its epoch. */
export interface Farewell {
  readonly volumeId: string
  readonly incarnation: string
  readonly epoch: number
}

/** What the receiver has stored of this sender. */
export interface AppliedMark {
  readonly incarnation: string
  readonly through: number
}

export interface HelloAnswer {
  readonly protocol: number
  readonly volumeId: string
  readonly incarnation: string
  readonly incarnationSince: number
  readonly siteId: string
  readonly wallTime: number
  /** The highest seq of the receiver's own feed. */
  readonly head: number
  /** Names this run of the receiver; repeated in every batch and query. */
  readonly session: string
  readonly applied: AppliedMark | null
  /** What it takes beyond what every site of this version does: {@link acceptedParts}. */
  readonly accepts?: readonly string[]
  /** Absent from a site that does not know of roles. */
  readonly standing?: Standing | undefined
  /** Changes that the receiver has still to ship to the sender; absent when it ships nothing to it. */
  readonly owes?: number | undefined
}

/** Names in `accepts`. Those that a sender does not know mean nothing to it. */
export const acceptedParts = {
  /** Objects that the sender pushes. */
  push: 'push',
  /** Bodies of batches and pushed ranges that are compressed with zstd. */
  zstd: 'zstd',
  /** Batches that say what the receiver has all of. */
  holdings: 'holdings',
} as const

/** `POST .../completions`: what became of pulls. Answered at once when anything is known. */
export interface CompletionsQuery {
  readonly session: string
  readonly volumeId: string
  readonly incarnation: string
  /** Longest wait, milliseconds; the receiver bounds it. */
  readonly waitMs: number
  /** The pulls that the sender waits for. */
  readonly seqs: readonly number[]
  /** Outcomes that the sender has made durable: the receiver may forget them. */
  readonly forget: readonly number[]
}

/** What the receiver says about one change. */
export type ChangeOutcome =
  | { readonly result: 'applied' | 'duplicate' | 'superseded' }
  | { readonly result: 'conflict'; readonly won: boolean }
  /** An offer was accepted: the outcome comes by a completions query. */
  | { readonly result: 'pulling' }
  /** Bytes were withheld, and are wanted. */
  | { readonly result: 'need' }
  | { readonly result: 'later'; readonly reason: string }
  | { readonly result: 'refused'; readonly code: string; readonly message: string }

/** `again`: the pull ended without the bytes (or is unknown after a restart): offer again. */
export type PullOutcome =
  | Exclude<ChangeOutcome, { readonly result: 'pulling' | 'need' }>
  | {
      readonly result: 'again'
      readonly reason: string
      /** No byte was to be had at the address that the sender announces. */
      readonly unreached?: boolean
    }

export interface Completion {
  readonly seq: number
  readonly outcome: PullOutcome
}

export interface CompletionsAnswer {
  readonly completions: readonly Completion[]
}

/** @throws MalformedBytesError */
export function parseHello(text: string): Hello {
  const fields = new Fields(text)
  return {
    protocol: fields.count('protocol'),
    volumeId: fields.id('volumeId'),
    incarnation: fields.id('incarnation'),
    incarnationSince: fields.count('incarnationSince'),
    siteId: fields.site('siteId'),
    advertiseUrl: fields.text('advertiseUrl', 2048),
    wallTime: fields.count('wallTime'),
    filterHash: fields.id('filterHash'),
    head: fields.count('head'),
    epoch: fields.optionalCount('epoch') ?? 0,
    standing: parseStanding(fields),
    ...(fields.optionalFlag('asksOnly') ? { asksOnly: true } : {}),
  }
}

/** @throws MalformedBytesError */
export function parseFarewell(text: string): Farewell {
  const fields = new Fields(text)
  return {
    volumeId: fields.id('volumeId'),
    incarnation: fields.id('incarnation'),
    epoch: fields.count('epoch'),
  }
}

function parseStanding(fields: Fields): Standing | undefined {
  const standing = fields.optionalObject('standing')
  if (standing === null) return undefined
  const role = standing.text('role', 32)
  if (role !== 'primary' && role !== 'replica') {
    throw new MalformedBytesError(`there is no role ${role}`)
  }
  const term = standing.count('term')
  // Far beyond what people promote, and far below where there is no next one.
  if (term > termMax) throw new MalformedBytesError(`a term beyond ${termMax} is none`)
  return { role, term }
}

/** @throws MalformedBytesError */
export function parseHelloAnswer(text: string): HelloAnswer {
  const fields = new Fields(text)
  const applied = fields.optionalObject('applied')
  return {
    protocol: fields.count('protocol'),
    volumeId: fields.id('volumeId'),
    incarnation: fields.id('incarnation'),
    incarnationSince: fields.count('incarnationSince'),
    siteId: fields.site('siteId'),
    wallTime: fields.count('wallTime'),
    head: fields.count('head'),
    session: fields.id('session'),
    applied:
      applied === null
        ? null
        : { incarnation: applied.id('incarnation'), through: applied.count('through') },
    accepts: fields.optionalTexts('accepts'),
    standing: parseStanding(fields),
    owes: fields.optionalCount('owes'),
  }
}

/** The answer to pushed bytes: how many of the object are held. @throws MalformedBytesError */
export function parsePushAnswer(text: string): number {
  return new Fields(text).count('held')
}

/** @throws MalformedBytesError */
export function parseCompletionsQuery(text: string): CompletionsQuery {
  const fields = new Fields(text)
  return {
    session: fields.id('session'),
    volumeId: fields.id('volumeId'),
    incarnation: fields.id('incarnation'),
    waitMs: fields.count('waitMs'),
    seqs: fields.counts('seqs'),
    forget: fields.counts('forget'),
  }
}

/** @throws MalformedBytesError */
export function parseCompletionsAnswer(text: string): CompletionsAnswer {
  const completions = new Fields(text).objects('completions').map((entry): Completion => {
    const outcome = entry.optionalObject('outcome')
    if (outcome === null) throw new MalformedBytesError('a completion has no outcome')
    return { seq: entry.count('seq'), outcome: parsePullOutcome(outcome) }
  })
  return { completions }
}

function parsePullOutcome(fields: Fields): PullOutcome {
  const result = fields.text('result', 32)
  switch (result) {
    case 'applied':
    case 'duplicate':
    case 'superseded':
      return { result }
    case 'conflict':
      return { result, won: fields.flag('won') }
    case 'later':
      return { result, reason: hideSecrets(fields.text('reason', 4096)) }
    case 'again': {
      const reason = hideSecrets(fields.text('reason', 4096))
      return { result, reason, ...(fields.optionalFlag('unreached') ? { unreached: true } : {}) }
    }
    case 'refused':
      return {
        result,
        code: hideSecrets(fields.text('code', 128)),
        message: hideSecrets(fields.text('message', 4096)),
      }
    default:
      throw new MalformedBytesError(`a completion has the unknown result ${result}`)
  }
}

const idPattern = /^[\x21-\x7e]{1,64}$/

/** Volume ids, incarnations, sessions and filter hashes. @throws MalformedBytesError */
export function readId(reader: ByteReader): string {
  return checkedId(reader.text(), 'an identifier')
}

function checkedId(text: string, what: string): string {
  if (!idPattern.test(text)) throw new MalformedBytesError(`${what} is not 1 to 64 visible letters`)
  return text
}

/** Typed access to the members of a JSON object that came from elsewhere. */
export class Fields {
  readonly #members: Readonly<Record<string, unknown>>

  constructor(source: string | object) {
    const value: unknown = typeof source === 'string' ? parseJson(source) : source
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new MalformedBytesError('a replication document is no JSON object')
    }
    this.#members = value as Readonly<Record<string, unknown>>
  }

  has(name: string): boolean {
    return this.#members[name] !== undefined && this.#members[name] !== null
  }

  count(name: string): number {
    return checkedCount(this.#members[name], name)
  }

  optionalCount(name: string): number | undefined {
    const value = this.#members[name]
    return value === null || value === undefined ? undefined : checkedCount(value, name)
  }

  counts(name: string): readonly number[] {
    const value = this.#array(name)
    return value.map((entry) => checkedCount(entry, name))
  }

  objects(name: string): readonly Fields[] {
    return this.#array(name).map((entry) => new Fields(Object(entry)))
  }

  text(name: string, lengthMax: number): string {
    const value = this.#members[name]
    if (typeof value !== 'string' || value.length > lengthMax) {
      throw new MalformedBytesError(`${name} is no text of at most ${lengthMax} letters`)
    }
    return value
  }

  id(name: string): string {
    return checkedId(this.text(name, 64), name)
  }

  site(name: string): string {
    const value = this.text(name, 64)
    if (!siteIdPattern.test(value) || value === keptSite)
      throw new MalformedBytesError(`${name} is no site id`)
    return value
  }

  flag(name: string): boolean {
    const value = this.#members[name]
    if (typeof value !== 'boolean')
      throw new MalformedBytesError(`${name} is neither true nor false`)
    return value
  }

  /** False when it is not there. */
  optionalFlag(name: string): boolean {
    return this.#members[name] !== undefined && this.flag(name)
  }

  /** Short texts; none when there is no such list. */
  optionalTexts(name: string): readonly string[] {
    if (this.#members[name] === undefined) return []
    return this.#array(name).filter(
      (entry) => typeof entry === 'string' && entry.length <= 64,
    ) as string[]
  }

  optionalObject(name: string): Fields | null {
    const value = this.#members[name]
    return value === null || value === undefined ? null : new Fields(Object(value))
  }

  #array(name: string): readonly unknown[] {
    const value = this.#members[name]
    if (!Array.isArray(value) || value.length > completionsCountMax) {
      throw new MalformedBytesError(`${name} is no list of at most ${completionsCountMax} entries`)
    }
    return value
  }
}

function checkedCount(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new MalformedBytesError(`${name} is no whole number`)
  }
  return value
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new MalformedBytesError('a replication document is not JSON', { cause })
  }
}
