/** The control plane's documents about scrubbing; `protocol.ts` has the others. */

/** What `POST`, `GET` and `DELETE /admin/volume/scrub` answer. */
export interface ScrubDocument {
  readonly running: ScrubProgressDocument | null
  /** The last one that ended; kept over restarts. */
  readonly last: ScrubResultDocument | null
  /** ISO 8601: when the next one begins by itself. */
  readonly next_at: string | null
  /** Bytes per second that it reads at most; 0 for no limit. */
  readonly rate: number
}

export interface ScrubCountsDocument {
  readonly started_at: string
  readonly objects: number
  readonly bytes: number
  /** Of the log, that are no object's bytes. */
  readonly records: number
  readonly damaged: number
  readonly healed: number
  /** Replaced by something newer before they were healed. */
  readonly gone: number
}

export interface ScrubProgressDocument extends ScrubCountsDocument {
  /** What the store holds now. */
  readonly objects_total: number
  readonly bytes_total: number
}

export interface ScrubResultDocument extends ScrubCountsDocument {
  readonly finished_at: string
  /** Why it did not come to the end. */
  readonly reason: string | null
  /** The first 200 that were found damaged. */
  readonly listed: readonly ScrubFindingDocument[]
}

export interface ScrubFindingDocument {
  readonly what:
    | 'object'
    | 'deletion'
    | 'bucket'
    | 'purge'
    | 'remote'
    | 'upload'
    | 'letter'
    | 'conflict'
    | 'segment'
  readonly bucket: string | null
  readonly key: string | null
  readonly result: 'healed' | 'gone' | 'damaged'
  /** Why it stays damaged. */
  readonly problem: string | null
}
