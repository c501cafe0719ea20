/**
 * Another site, as one that reads single objects there sees it. HTTP stands behind it
 * (`http-site-reader.ts`). An aborted signal ends a call at once, by rejecting.
 */
import type { RemoteLedger } from '../../store/model/object-store.ts'
import type { VersionedObject } from './read-documents.ts'

/**
 * Failures of each call: RemoteUnreachableError, RemoteRefusedError, RemoteProtocolError,
 * PlaintextRefusedError.
 */
export interface SiteReader {
  /** Asks what a slot holds; the bytes of a batch. */
  look(question: string, signal: AbortSignal): Promise<Buffer>
  /**
   * Resolves when exactly `length` bytes begin to arrive. Leaving the iterable early ends the
   * transfer; its failures are those of the call.
   */
  readBytes(
    question: string,
    options: { readonly length: number; readonly signal: AbortSignal },
  ): Promise<AsyncIterable<Buffer>>
  /** Brings sound bytes of an object that the remote has damaged; resolves when they are in place. */
  bringBytes(
    object: VersionedObject,
    body: { readonly length: number; readonly bytes: () => AsyncIterable<Uint8Array> },
    signal: AbortSignal,
  ): Promise<void>
  close(): Promise<void>
}

/** A remote that can be read from. */
export interface ReadableRemote {
  readonly name: string
  readonly reader: SiteReader
  /** Says what the two sites share. */
  readonly ledger: RemoteLedger
}
