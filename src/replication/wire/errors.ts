import { ComioError, type ComioErrorOptions } from '../../base/errors.ts'

/** Nothing answered: no connection, cut off, or no progress before the deadline. */
export class RemoteUnreachableError extends ComioError {
  readonly code = 'REMOTE_UNREACHABLE'
}

/** The remote answered, with an HTTP status that says no. */
export class RemoteRefusedError extends ComioError {
  readonly code = 'REMOTE_REFUSED'
  readonly status: number
  /** The code in the remote's error document; empty when it sent none. */
  readonly remoteCode: string
  /** What the remote said, without the status. */
  readonly remoteMessage: string

  constructor(
    answer: { readonly status: number; readonly remoteCode: string; readonly message: string },
    options: ComioErrorOptions = {},
  ) {
    super(`remote returned ${answer.status}: ${answer.message}`, {
      ...options,
      facts: { status: answer.status, remoteCode: answer.remoteCode, ...options.facts },
    })
    this.status = answer.status
    this.remoteCode = answer.remoteCode
    this.remoteMessage = answer.message
  }
}

/** The remote answered something that is not protocol version 1. */
export class RemoteProtocolError extends ComioError {
  readonly code = 'REMOTE_PROTOCOL'
}

/** A token would have travelled readable for everybody on the way. */
export class PlaintextRefusedError extends ComioError {
  readonly code = 'PLAINTEXT_REFUSED'
}

/** The address of a remote, or one that a peer announced, is no usable http(s) URL. */
export class BadRemoteUrlError extends ComioError {
  readonly code = 'BAD_REMOTE_URL'
}

/** Two remotes are one site, which takes the latest link for the only one. */
export class RemoteTwiceError extends ComioError {
  readonly code = 'REMOTE_TWICE'
}

/** The peer speaks another version of the replication protocol. */
export class ProtocolMismatchError extends ComioError {
  readonly code = 'PROTOCOL_MISMATCH'
}

/** Both ends are the same volume. */
export class SelfReplicationError extends ComioError {
  readonly code = 'SELF_REPLICATION'
}

/** Two volumes claim one site id: their versions could not be told apart. */
export class SiteIdTakenError extends ComioError {
  readonly code = 'SITE_ID_TAKEN'
}

/** The sender's link was ended, or made anew since: what comes under it must change nothing. */
export class LinkEndedError extends ComioError {
  readonly code = 'LINK_ENDED'
}

/** A batch or a query came from a sender whose handshake this process has not seen. */
export class HandshakeRequiredError extends ComioError {
  readonly code = 'HANDSHAKE_REQUIRED'
}

export class BatchTooLargeError extends ComioError {
  readonly code = 'BATCH_TOO_LARGE'
}

/** `superseded`: nobody needs the bytes any more. Otherwise the sender offers them again. */
export type TicketEnd = 'unknown' | 'expired' | 'superseded'

/** The ticket of a pull opens nothing (any more). */
export class TicketGoneError extends ComioError {
  readonly code = 'TICKET_GONE'
  readonly end: TicketEnd

  constructor(end: TicketEnd, options: ComioErrorOptions = {}) {
    super(`the ticket of a pull is ${end}`, { ...options, facts: { end, ...options.facts } })
    this.end = end
  }
}

/** A pushed object cannot be taken in at this moment; the sender tries again. */
export class PushBusyError extends ComioError {
  readonly code = 'PUSH_BUSY'
}

/** A requested range does not lie inside the object. */
export class BadRangeError extends ComioError {
  readonly code = 'BAD_RANGE'
}

/** More comparisons at once than this site answers. */
export class ComparisonBusyError extends ComioError {
  readonly code = 'COMPARISON_BUSY'
}

/** No bucket of the name is known at either site, or the link does not ship it: nothing was compared. */
export class NothingToCompareError extends ComioError {
  readonly code = 'NOTHING_TO_COMPARE'
}

/** More objects at once are read or mended for other sites than this site answers. */
export class ReadsBusyError extends ComioError {
  readonly code = 'READS_BUSY'
}

/** The asked site does not hold this version of the object, or not any more. */
export class ObjectGoneError extends ComioError {
  readonly code = 'OBJECT_GONE'
}

/** An object that only another site has was begun to be read there, and could not be to its end. */
export class ProxiedReadError extends ComioError {
  readonly code = 'PROXIED_READ_FAILED'
}

/** Sync mode: the write is durable here, and no remote has said in time that it is there as well. */
export class SyncUnconfirmedError extends ComioError {
  readonly code = 'SYNC_UNCONFIRMED'
}

/** This site is about to become a replica: writes wait for that to succeed or to fail. */
export class RoleChangingError extends ComioError {
  readonly code = 'ROLE_CHANGING'
}

/** This site is a replica: it takes changes from its primary only. */
export class ReplicaReadOnlyError extends ComioError {
  readonly code = 'REPLICA_READ_ONLY'
}
