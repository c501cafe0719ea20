/**
 * The tokens that a site knows, as hashes. Looking one up takes the same time whether it is there
 * or not, and wherever it stands.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { TokenRole } from '../config/server-config.ts'

interface Entry {
  readonly digest: Buffer
  readonly roles: Set<TokenRole>
}

export class TokenTable {
  readonly #entries: readonly Entry[]

  constructor(tokens: readonly { readonly role: TokenRole; readonly token: string }[]) {
    const entries = new Map<string, Entry>()
    for (const { role, token } of tokens) {
      const digest = digestOf(token)
      const name = digest.toString('hex')
      const entry = entries.get(name) ?? { digest, roles: new Set() }
      entry.roles.add(role)
      entries.set(name, entry)
    }
    this.#entries = [...entries.values()]
  }

  /** The roles of `token`, or undefined when it is unknown or absent. */
  rolesOf(token: string | undefined): ReadonlySet<TokenRole> | undefined {
    if (token === undefined) return undefined
    const digest = digestOf(token)
    let found: ReadonlySet<TokenRole> | undefined
    for (const entry of this.#entries) {
      // No early exit: the time must not tell which token came close.
      if (timingSafeEqual(entry.digest, digest)) found = entry.roles
    }
    return found
  }
}

function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}
