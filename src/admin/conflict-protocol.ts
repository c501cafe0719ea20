/** The control plane's documents about conflicts, as `protocol.ts` has the others. */

export type ConflictPolicyName = 'last-write-wins' | 'keep-both'

/** One of two writes that had not seen each other. */
export interface ConflictSideDocument {
  /** The site that wrote it. */
  readonly site: string
  /** By that site's clock, ISO 8601. */
  readonly time: string
  readonly version: string
  readonly kind: 'put' | 'delete' | 'purge'
  /** Null for anything but a put. */
  readonly size: number | null
  readonly etag: string | null
}

export interface ConflictDocument {
  /** Each site numbers the conflicts that it noticed itself. */
  readonly id: number
  readonly bucket: string
  readonly key: string
  /** ISO 8601. */
  readonly noticed_at: string
  readonly winner: ConflictSideDocument
  readonly loser: ConflictSideDocument
  /** The key that the loser is kept under; null when it is not. */
  readonly kept_as: string | null
  /** Whether it is there now: it can be made current. */
  readonly kept_now: boolean
}

/** `GET /admin/replication/conflicts?limit=&before=`: the newest first. */
export interface ConflictsDocument {
  readonly conflicts: readonly ConflictDocument[]
  /** How many are listed in all; noticed, kept and dropped count since the volume was made. */
  readonly open: number
  readonly noticed: number
  readonly kept: number
  readonly dropped: number
}

/** `POST /admin/replication/conflicts/ID/resolve`. */
export interface ResolveRequestDocument {
  /** `loser` makes it current, as a write that has seen both. The kept copy goes either way. */
  readonly keep: 'winner' | 'loser'
}

export interface ResolvedDocument {
  readonly resolved: number
  readonly keep: 'winner' | 'loser'
}

/** `GET /admin/BUCKET/conflict-policy`. */
export interface PolicyDocument {
  readonly bucket: string
  readonly policy: ConflictPolicyName
  /** Whether it was set for this bucket; else it is what the site is configured with. */
  readonly own: boolean
}

/** `POST /admin/BUCKET/conflict-policy`; null for what each site is configured with. */
export interface PolicyRequestDocument {
  readonly policy: ConflictPolicyName | null
}
