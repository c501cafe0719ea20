/** Tokens as a configuration names them: themselves, by their hash, or by the file they are in. */
import { hash } from 'node:crypto'

export type TokenRole = 'read' | 'write' | 'admin' | 'replication'

export interface AcceptEntry {
  readonly name?: string
  /** Itself or `sha256:HEX`; what was read, where it is in a file. */
  readonly token: string
  readonly tokenFile?: string
  /** Wall time, milliseconds since 1970, from which on it opens nothing. */
  readonly expires?: number
}

export interface AuthToken extends AcceptEntry {
  readonly name: string
  readonly role: TokenRole
}

/** The short form is the token, or its hash, alone. */
export type AcceptedToken = string | AcceptEntry

export const hashedTokenPattern = /^sha256:([0-9a-f]{64})$/

export function acceptEntryOf(accepted: AcceptedToken): AcceptEntry {
  return typeof accepted === 'string' ? { token: accepted } : accepted
}

/** SHA-256 of a token, in hex: what is compared, kept and shown in its place. */
export function digestOfToken(token: string): string {
  return hashedTokenPattern.exec(token)?.[1] ?? hash('sha256', token, 'hex')
}
