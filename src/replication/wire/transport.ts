/**
 * The seam between replication and the network: HTTP stands behind it in production
 * (`http-transport.ts`), a simulated network in the simulator. Every call ends by itself: a transport
 * enforces its own deadline for progress (never for the whole), and an aborted signal ends the call
 * at once, by rejecting. All failures are of the classes named here, from `errors.ts`.
 */
import type {
  CompletionsAnswer,
  CompletionsQuery,
  Farewell,
  Hello,
  HelloAnswer,
  Inquiry,
} from './protocol.ts'
import type { Traffic } from './traffic.ts'

/**
 * One remote as the sender sees it.
 *
 * Failures of each call: RemoteUnreachableError (no connection, cut, no progress),
 * RemoteRefusedError (an answer with an error status), RemoteProtocolError (an answer that does not
 * decode), PlaintextRefusedError. A failed call may or may not have taken effect.
 */
export interface RemoteTransport {
  handshake(hello: Hello, signal: AbortSignal): Promise<HelloAnswer>
  /**
   * Ships one batch, given as the pieces of its bytes in order, and resolves with the bytes of the
   * answer. The caller keeps the pieces unchanged until then; afterwards nobody looks at them any more. Of
   * a call that failed somebody may.
   */
  sendBatch(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<Buffer>
  awaitCompletions(query: CompletionsQuery, signal: AbortSignal): Promise<CompletionsAnswer>
  /** Tells the remote that this link is over. */
  sayFarewell(farewell: Farewell, signal: AbortSignal): Promise<void>
  /**
   * Brings bytes of a large object to a remote that cannot fetch them, and resolves with how many of
   * the object it holds then. An empty range brings nothing and asks just that.
   */
  pushRange(
    range: PushedRange,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number>
  /** Asks what a comparison of the two sites needs to know; resolves with the bytes of the answer. */
  inquire(what: Inquiry, question: string, signal: AbortSignal): Promise<Buffer>
  /** What its connections have carried since the start; absent where nothing is counted. */
  traffic?(): Traffic
  /** Ends what is under way and frees connections. */
  close(): Promise<void>
}

export interface BlobRange {
  /** The advertiseUrl that the sender announced in its handshake. */
  readonly origin: string
  /** 64 hex digits. */
  readonly ticket: string
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

export interface PushedRange {
  /** 64 hex digits. */
  readonly ticket: string
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
  /** Of the whole object. */
  readonly size: number
}

/** The receiver fetching the bytes of a large object from a sender. */
export interface BlobTransport {
  /**
   * Resolves when the bytes begin to arrive. The iterable ends after exactly `end - start` bytes or
   * fails; leaving it early ends the transfer.
   *
   * Failures, also of the iterable: RemoteUnreachableError, RemoteRefusedError, RemoteProtocolError,
   * TicketGoneError.
   */
  fetchRange(range: BlobRange, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  close(): Promise<void>
}
