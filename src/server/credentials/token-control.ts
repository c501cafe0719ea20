/** Tokens as the control plane sees them: named, dated, revoked, and never shown. */
import { NoSuchTokenError } from '../../admin/errors.ts'
import type { TokenControl } from '../../admin/ports.ts'
import type { RevokedTokenDocument, TokenDescription } from '../../admin/protocol.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { RevokedTokens } from './revoked-tokens.ts'
import type { KnownToken, TokenTable } from './token-table.ts'

/** Time enough to give out another one. */
const soonMs = 7 * 86_400_000
const lookEveryMs = 3_600_000

export interface SiteTokensOptions {
  readonly table: TokenTable
  readonly revoked: RevokedTokens
  readonly clock: Clock
  readonly logger: Logger
}

export class SiteTokens implements TokenControl {
  readonly #options: SiteTokensOptions
  /** What the log has said already. */
  #said: ReadonlySet<string> = new Set()
  #timer: Timer | undefined

  constructor(options: SiteTokensOptions) {
    this.#options = options
  }

  list(): readonly TokenDescription[] {
    return this.#options.table.entries().map((token) => this.#describe(token))
  }

  async revoke(name: string): Promise<RevokedTokenDocument> {
    const { table, revoked, clock, logger } = this.#options
    const found = table.entries().find((token) => token.name === name)
    if (found === undefined) {
      throw new NoSuchTokenError(`this site has no token called ${name}`, {
        hint: 'comio token list shows the names.',
      })
    }
    const now = new Date(clock.now()).toISOString()
    const time = revoked.timeOf(found.digest) ?? now
    await revoked.add({ sha256: found.digest, name, time })
    logger.warn({ name, origin: found.origin }, 'A token was revoked')
    const left = this.list().filter(({ role, state }) => role === 'admin' && state === 'valid')
    return { name, revoked_at: time, admin_tokens_left: left.length }
  }

  /** For the health of the site, which everybody may ask for: no names. */
  reasons(): readonly string[] {
    const { clock } = this.#options
    let expired = 0
    let soon = 0
    for (const { state, expires } of this.list()) {
      if (state === 'expired') expired++
      else if (state === 'valid' && expires !== null && isSoon(expires, clock.now())) soon++
    }
    const see = 'see comio token list'
    return [
      ...(expired === 0
        ? []
        : [`tokens that have expired are still configured, ${expired}: ${see}`]),
      ...(soon === 0 ? [] : [`tokens that expire within a week, ${soon}: ${see}`]),
    ]
  }

  /** Says in the log, once for each, what expires; from now on every hour. */
  watch(): void {
    const { clock, logger } = this.#options
    this.#timer?.cancel()
    this.#timer = clock.after(lookEveryMs, () => this.watch())
    const due = new Set<string>()
    for (const { name, state, expires, source } of this.list()) {
      if (state === 'revoked' || expires === null) continue
      if (state === 'valid' && !isSoon(expires, clock.now())) continue
      const words = state === 'expired' ? 'A token has expired' : 'A token will expire soon'
      const said = `${name} ${expires} ${state}`
      due.add(said)
      if (!this.#said.has(said)) logger.warn({ name, expires, origin: source }, words)
    }
    this.#said = due
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #describe(token: KnownToken): TokenDescription {
    const { table, revoked, clock } = this.#options
    const { name, role, origin, expires } = token
    const revokedAt = revoked.timeOf(token.digest)
    const isExpired = expires !== undefined && expires <= clock.now()
    return {
      name,
      role,
      source: origin,
      state: revokedAt !== undefined ? 'revoked' : isExpired ? 'expired' : 'valid',
      expires: timeText(expires),
      last_used: timeText(table.lastUsed(token)),
      revoked_at: revokedAt ?? null,
    }
  }
}

function isSoon(expires: string, now: number): boolean {
  return Date.parse(expires) - now <= soonMs
}

function timeText(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}
