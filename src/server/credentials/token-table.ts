/**
 * The tokens that a site knows, as hashes. Looking one up takes the same time whether it is there
 * or not, and wherever it stands. An expired or revoked token is known and opens nothing; the table
 * can be exchanged while requests come in, and keeps when each token was last used.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import {
  type AcceptedToken,
  type AuthToken,
  acceptEntryOf,
  digestOfToken,
  type TokenRole,
} from '../../config/tokens.ts'

/** One entry of the configuration. */
export interface KnownToken {
  /** Of an accepted token without one: from its hash, so that it stays the same when the list changes. */
  readonly name: string
  readonly role: TokenRole
  /** SHA-256, in hex. */
  readonly digest: string
  /** `auth.tokens[2], from /etc/comio/token` */
  readonly origin: string
  /** Wall time, milliseconds. */
  readonly expires: number | undefined
}

/** Which tokens were revoked, by their hash. */
export interface Revocations {
  has(digest: string): boolean
}

export type TokenVerdict =
  | { readonly kind: 'valid'; readonly roles: ReadonlySet<TokenRole> }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'expired' | 'revoked'; readonly name: string }

interface Group {
  readonly bytes: Buffer
  readonly entries: KnownToken[]
  lastUsed: number | undefined
}

const unknown = { kind: 'unknown' } as const

export class TokenTable {
  readonly #clock: Clock
  readonly #revocations: Revocations
  #groups: ReadonlyMap<string, Group> = new Map()

  constructor(options: { readonly clock: Clock; readonly revocations: Revocations }) {
    this.#clock = options.clock
    this.#revocations = options.revocations
  }

  replace(tokens: readonly KnownToken[]): void {
    const groups = new Map<string, Group>()
    for (const token of tokens) {
      const group = groups.get(token.digest) ?? {
        bytes: Buffer.from(token.digest, 'hex'),
        entries: [],
        lastUsed: this.#groups.get(token.digest)?.lastUsed,
      }
      group.entries.push(token)
      groups.set(token.digest, group)
    }
    this.#groups = groups
  }

  /** What `token` opens now; undefined is a token that was not sent. */
  judge(token: string | undefined): TokenVerdict {
    if (token === undefined) return unknown
    const digest = hash('sha256', token, 'buffer')
    let found: Group | undefined
    for (const group of this.#groups.values()) {
      // No early exit: the time must not tell which token came close.
      if (timingSafeEqual(group.bytes, digest)) found = group
    }
    return found === undefined ? unknown : this.#judgeGroup(found)
  }

  entries(): readonly KnownToken[] {
    return [...this.#groups.values()].flatMap((group) => group.entries)
  }

  /** Wall time since this site was started, or undefined. */
  lastUsed({ digest }: KnownToken): number | undefined {
    return this.#groups.get(digest)?.lastUsed
  }

  /** Of every token that was used since this table was made, by its digest. */
  uses(): ReadonlyMap<string, number> {
    const uses = [...this.#groups].flatMap(([digest, { lastUsed }]) =>
      lastUsed === undefined ? [] : [[digest, lastUsed] as const],
    )
    return new Map(uses)
  }

  /** Takes what another thread's table has seen. */
  noteUses(uses: ReadonlyMap<string, number>): void {
    for (const [digest, at] of uses) {
      const group = this.#groups.get(digest)
      if (group !== undefined) group.lastUsed = Math.max(group.lastUsed ?? at, at)
    }
  }

  #judgeGroup(group: Group): TokenVerdict {
    const [first] = group.entries
    if (first === undefined) return unknown
    if (this.#revocations.has(first.digest)) return { kind: 'revoked', name: first.name }
    const now = this.#clock.now()
    const roles = new Set<TokenRole>()
    for (const { role, expires } of group.entries) {
      if (expires === undefined || now < expires) roles.add(role)
    }
    if (roles.size === 0) return { kind: 'expired', name: first.name }
    group.lastUsed = now
    return { kind: 'valid', roles }
  }
}

/** The tokens of `auth.tokens` and, with the role replication, those of `replication.accept_tokens`. */
export function knownTokens(
  tokens: readonly AuthToken[],
  accepted: readonly AcceptedToken[],
): readonly KnownToken[] {
  const own = tokens.map((entry, at) => ({
    name: entry.name,
    role: entry.role,
    digest: digestOfToken(entry.token),
    origin: originOf(`auth.tokens[${at}]`, entry.tokenFile),
    expires: entry.expires,
  }))
  const others = accepted.map(acceptEntryOf).map((entry, at) => {
    const digest = digestOfToken(entry.token)
    return {
      name: entry.name ?? `accepted-${digest.slice(0, 8)}`,
      role: 'replication' as const,
      digest,
      origin: originOf(`replication.accept_tokens[${at}]`, entry.tokenFile),
      expires: entry.expires,
    }
  })
  return [...own, ...others]
}

function originOf(place: string, file: string | undefined): string {
  return file === undefined ? place : `${place}, from ${file}`
}
