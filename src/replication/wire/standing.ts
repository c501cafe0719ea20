/** Roles as replication sees them: what this site says of itself, and what it hears of others. */
import type { Standing } from './protocol.ts'

/** A site that has told its role in a handshake. */
export interface HeardStanding {
  readonly siteId: string
  /** Where it is reached, as far as this site knows. */
  readonly url: string
  readonly standing: Standing
}

export interface Roles {
  standing(): Standing
  heard(other: HeardStanding): void
}

/** What a remote answers when it is asked about itself. */
export type RemoteReport =
  | {
      readonly remote: string
      readonly url: string
      readonly answers: true
      readonly siteId: string
      /** Undefined when it does not know of roles. */
      readonly standing: Standing | undefined
      /** Changes it has still to ship to this site; undefined when it ships nothing here. */
      readonly owes: number | undefined
    }
  | {
      readonly remote: string
      readonly url: string
      readonly answers: false
      readonly reason: string
    }
