/** The control plane's documents about comparing sites; `protocol.ts` has the others. */

/** `POST /admin/replication/verify`: begins a comparison with the remotes, one at a time. */
export interface VerifyRequestDocument {
  readonly remote?: string
  readonly bucket?: string
  /** Read the bytes at both sites too. */
  readonly deep?: boolean
  readonly repair?: boolean
}

/** What `POST`, `GET` and `DELETE /admin/replication/verify` answer: the run that is on, or the last. */
export interface VerifyDocument {
  /** Rises with each run since the site was started; 0 before the first. */
  readonly id: number
  readonly running: VerifyProgressDocument | null
  /** Of the remotes that this run is done with. */
  readonly results: readonly VerifyResultDocument[]
}

export interface VerifyProgressDocument {
  readonly remote: string
  readonly phase: 'comparing' | 'settling' | 'reading' | 'repairing'
  readonly compared: number
  readonly objects_read: number
  readonly bytes_read: number
  readonly differences: number
}

/** Equality has a place and a time: everything of this site's feed up to `up_to`, checked then. */
export interface VerifySummary {
  readonly verdict: 'equal' | 'different' | 'unknown'
  /** Why it is not known, or not known to the end. */
  readonly reason: string | null
  readonly up_to: number
  /** ISO 8601. */
  readonly checked_at: string
  readonly differences: number
  /** Still on their way when it ended. */
  readonly waiting: number
}

export interface VerifyResultDocument extends VerifySummary {
  readonly remote: string
  readonly started_at: string
  /** Objects. */
  readonly compared: number
  readonly objects_read: number
  readonly bytes_read: number
  /** Questions and answers, without what HTTP adds. */
  readonly bytes_exchanged: number
  readonly repaired: number
  /** Why what is left could not be repaired. */
  readonly repair_problem: string | null
  /** How many differences of each kind there are. */
  readonly kinds: Readonly<Record<string, number>>
  /** The first 1000 differences. */
  readonly listed: readonly VerifyDifference[]
}

export interface VerifyDifference {
  readonly kind:
    | 'missing-here'
    | 'missing-there'
    | 'newer-here'
    | 'newer-there'
    | 'differs'
    | 'corrupt-here'
    | 'corrupt-there'
  readonly what: 'object' | 'deletion' | 'bucket' | 'purge'
  readonly bucket: string
  /** Null where it is about the bucket itself. */
  readonly key: string | null
  /** Versions; null where it is missing. */
  readonly here: string | null
  readonly there: string | null
}
