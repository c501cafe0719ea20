/** What reading an object is, for whoever holds one open. */
import type { ObjectMeta } from './mutation.ts'
import type { Version } from './version.ts'

export interface ObjectName {
  readonly bucket: string
  readonly key: string
}

export interface ObjectInfo extends ObjectName {
  readonly seq: number
  readonly version: Version
  readonly meta: ObjectMeta
}

export interface ByteRange {
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

/** How the bytes of an object are read; asked again for each piece. */
export interface ReadOptions {
  /** A piece is good until the next one is asked for: its memory is used again then. */
  readonly passing?: boolean
  /** The most that a piece may hold from now on; 1 MiB unless told, and at most. */
  readonly pieceBytes?: () => number
  /** How many are read while one is in use; one unless told. */
  readonly piecesAhead?: () => number
}

/** An object whose bytes stay readable until it is closed, whatever happens to its slot. */
export interface OpenObject {
  readonly info: ObjectInfo
  /** The bytes of `range` (all when absent), verified, in pieces of at most 1 MiB that are the reader's own. */
  read(range?: ByteRange, options?: ReadOptions): AsyncIterable<Buffer>
  /** All bytes of a small object in one call; only for `size` up to `inlineBytesMax`. */
  readWhole(): Promise<Buffer>
  /**
   * The same without waiting, where the object is small and its bytes are at hand and sound; undefined
   * otherwise, and {@link readWhole} says why.
   */
  readNow(): Buffer | undefined
  close(): void
}
