/**
 * Who may do what, for the three planes of a site. On loopback without configured tokens everything
 * local is open, but not to web pages: a page could reach this port through the browser of whoever
 * works here, so such requests must name a loopback host (against DNS rebinding) and come from no
 * other origin. Tokens are their own protection: where they are asked for, Host and Origin do not
 * matter, so that a proxy may stand in front.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { AccessDenial, ControlAccess } from '../../admin/ports.ts'
import { assert, unreachable } from '../../base/assert.ts'
import { type Clock, systemClock } from '../../base/clock.ts'
import { isLoopbackHost } from '../../config/host-kind.ts'
import type { AcceptedToken, AuthToken, TokenRole } from '../../config/tokens.ts'
import { knownTokens, type Revocations, TokenTable } from './token-table.ts'

export type DataAccess = 'read' | 'write' | 'admin'

/** What can be exchanged while the site runs. */
export interface TokenLists {
  /** `auth.tokens`. */
  readonly tokens: readonly AuthToken[]
  /** `replication.accept_tokens`: role replication, and no configured authentication. */
  readonly acceptTokens: readonly AcceptedToken[]
}

export interface AccessOptions extends TokenLists {
  /** Whether only this machine can reach the listener. */
  readonly loopback: boolean
  readonly allowAnonymous: boolean
  /** The scheme of the listener, which is that of its own pages. */
  readonly scheme?: 'http' | 'https'
  readonly clock?: Clock
  readonly revocations?: Revocations
  /** Called when tokens were exchanged, before any request is judged by the new ones. */
  readonly onReplaced?: () => void
}

/** Each role has those before it. Replication is not among them: it opens its own endpoints only. */
const ranks = { read: 1, write: 2, admin: 3 } as const

/** There are 2^24 names for this machine; a few of them are worth a note. */
const localHostsMax = 16

export class AccessControl {
  /** For whoever lists the tokens; who may do what is asked below. */
  readonly tokens: TokenTable
  readonly #options: AccessOptions
  #plan: 'tokens' | 'local' | 'anonymous' = 'local'
  /** `allow_anonymous`: the data plane is open to everybody, whatever the control plane asks for. */
  #openData = false
  readonly #loopback: boolean
  #lists: TokenLists
  #acceptsReplication = false
  /** Hosts found to be loopback: a client repeats its own, and looking closely costs a microsecond. */
  readonly #localHosts = new Set<string>()

  constructor(options: AccessOptions) {
    const { loopback, clock = systemClock, revocations = new Set<string>() } = options
    this.#options = options
    this.#lists = options
    this.#loopback = loopback
    this.tokens = new TokenTable({ clock, revocations })
    this.replaceTokens(options)
  }

  /** The tokens as they are now. */
  get lists(): TokenLists {
    return this.#lists
  }

  /** From the next request on, these are the tokens. */
  replaceTokens({ tokens, acceptTokens }: TokenLists): void {
    const { loopback, allowAnonymous, onReplaced } = this.#options
    const plan = tokens.length > 0 ? 'tokens' : loopback ? 'local' : 'anonymous'
    assert(plan !== 'anonymous' || allowAnonymous, 'such a site does not start')
    const all = knownTokens(tokens, acceptTokens)
    this.tokens.replace(all)
    this.#acceptsReplication = all.some(({ role }) => role === 'replication')
    this.#openData = allowAnonymous && (!loopback || tokens.length > 0)
    this.#plan = plan
    this.#lists = { tokens, acceptTokens }
    onReplaced?.()
  }

  /** The data plane. */
  data(request: IncomingMessage, access: DataAccess): AccessDenial | undefined {
    if (this.#openData) return undefined
    switch (this.#plan) {
      case 'tokens':
        return this.#bearer(request.headers, ranks[access])
      case 'local':
        return this.#refuseWebPages(request.headers)
      case 'anonymous':
        return undefined
    }
  }

  /** The control plane; beyond loopback never without a token. */
  control(request: IncomingMessage, access: ControlAccess): AccessDenial | undefined {
    if (access === 'open') return undefined
    if (this.#plan === 'local') {
      return this.#refuseWebPages(request.headers) ?? refuseOwnPages(request.headers)
    }
    return this.#bearer(request.headers, ranks[access])
  }

  /** The replication streams: always with a token of the role, on loopback too. */
  replication(request: IncomingMessage): AccessDenial | undefined {
    if (!this.#acceptsReplication) {
      return {
        status: 403,
        code: 'REPLICATION_NOT_ACCEPTED',
        message: 'this site accepts no replication: no token for it is configured',
        hint: 'Start it with --replication-accept-token TOKEN (replication.accept_tokens).',
      }
    }
    const held = this.#rolesOf(request.headers, { what: 'a replication token' })
    if ('denial' in held) return held.denial
    return held.roles.has('replication') ? undefined : forbidden('replication')
  }

  #bearer(headers: IncomingHttpHeaders, rank: number): AccessDenial | undefined {
    const hint = this.#plan === 'tokens' ? undefined : this.#unconfiguredHint()
    const held = this.#rolesOf(headers, { what: 'a token', hint })
    if ('denial' in held) return held.denial
    for (const role of held.roles) {
      if (role !== 'replication' && ranks[role] >= rank) return undefined
    }
    return forbidden(rank === 1 ? 'read' : rank === 2 ? 'write' : 'admin')
  }

  #rolesOf(
    headers: IncomingHttpHeaders,
    wanted: { readonly what: string; readonly hint?: string | undefined },
  ): { readonly roles: ReadonlySet<TokenRole> } | { readonly denial: AccessDenial } {
    const verdict = this.tokens.judge(bearerToken(headers))
    switch (verdict.kind) {
      case 'valid':
        return { roles: verdict.roles }
      case 'unknown':
        return { denial: unauthenticated(headers, wanted.what, wanted.hint) }
      case 'expired':
      case 'revoked':
        return { denial: lapsed(verdict.kind, verdict.name) }
      default:
        return unreachable(verdict)
    }
  }

  /** Refuses what a browser sends on behalf of a page that this site did not serve. */
  #refuseWebPages(headers: IncomingHttpHeaders): AccessDenial | undefined {
    const { host, origin } = headers
    if (host === undefined || !this.#isLocal(host)) {
      return {
        status: 403,
        code: 'FOREIGN_HOST',
        message: 'without auth.tokens this site answers only requests to a loopback host',
        hint: 'Use http://127.0.0.1:PORT, or configure auth.tokens, above all behind a proxy.',
      }
    }
    // Pages of another port are foreign, too: the origin must be this very address.
    const foreignOrigin =
      origin !== undefined &&
      origin.toLowerCase() !== `${this.#options.scheme ?? 'http'}://${host.toLowerCase()}`
    const site = headers['sec-fetch-site']
    if (foreignOrigin || site === 'cross-site' || site === 'same-site') {
      return {
        status: 403,
        code: 'FOREIGN_ORIGIN',
        message: 'without auth.tokens this site answers no web pages of another origin',
        hint: 'Configure auth.tokens, and let the page send Authorization: Bearer TOKEN.',
      }
    }
    return undefined
  }

  #isLocal(host: string): boolean {
    if (this.#localHosts.has(host)) return true
    if (!isLoopbackAuthority(host)) return false
    if (this.#localHosts.size < localHostsMax) this.#localHosts.add(host)
    return true
  }

  #unconfiguredHint(): string {
    assert(!this.#loopback, 'on loopback without tokens nobody is asked for one')
    return 'Beyond loopback /admin needs a token: configure auth.tokens with role read or admin.'
  }
}

function bearerToken(headers: IncomingHttpHeaders): string | undefined {
  const match = /^bearer +([\x21-\x7e]{1,512}) *$/i.exec(headers.authorization ?? '')
  return match?.[1]
}

function unauthenticated(
  headers: IncomingHttpHeaders,
  what: string,
  hint = 'Send the header Authorization: Bearer TOKEN.',
): AccessDenial {
  const message =
    headers.authorization === undefined
      ? `${what} is needed, and none was sent`
      : `${what} is needed, and what was sent is none that this site knows`
  return { status: 401, code: 'UNAUTHENTICATED', message, hint }
}

const lapses = {
  expired: { code: 'TOKEN_EXPIRED', what: 'has expired' },
  revoked: { code: 'TOKEN_REVOKED', what: 'was revoked' },
} as const

/** Told to whoever has the token itself: it is no secret to them that it was good once. */
function lapsed(how: keyof typeof lapses, name: string): AccessDenial {
  const { code, what } = lapses[how]
  const hint = 'Use another token; comio token list shows at the site which ones are valid.'
  return { status: 401, code, message: `the token ${name} ${what}`, hint }
}

function forbidden(role: string): AccessDenial {
  return {
    status: 403,
    code: 'FORBIDDEN',
    message: `the token is known, but this needs the role ${role}`,
    hint: `Use a token with the role ${role}; roles are set in auth.tokens.`,
  }
}

/**
 * For the control plane: an object that is stored here and opened in a browser is a page of this very
 * origin, and must not purge buckets. Browsers name themselves; people and programs do not.
 */
function refuseOwnPages(headers: IncomingHttpHeaders): AccessDenial | undefined {
  const site = headers['sec-fetch-site']
  if (headers.origin === undefined && (site === undefined || site === 'none')) return undefined
  return {
    status: 403,
    code: 'FOREIGN_ORIGIN',
    message: 'without auth.tokens the control plane answers no web pages',
    hint: 'Use the command line, or configure auth.tokens.',
  }
}

/** `localhost`, `127.x.x.x` or `[::1]`, with any port or none. */
function isLoopbackAuthority(authority: string): boolean {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(authority)
  const name = match?.[1]
  if (name === undefined) return false
  const bare = name.startsWith('[') ? name.slice(1, -1) : name
  return (name.startsWith('[') ? isIP(bare) === 6 : true) && isLoopbackHost(bare)
}
