/** Why a site does not start, or does not do what its operator asks. */
import { ControlError } from '../admin/errors.ts'
import { ComioError, messageOf } from '../base/errors.ts'

export class AddressInUseError extends ComioError {
  readonly code = 'ADDRESS_IN_USE'
}

/** The host is none of this machine's, or the port needs rights that the process lacks. */
export class ListenFailedError extends ComioError {
  readonly code = 'LISTEN_FAILED'
}

/** Whoever could reach the listener could do anything. */
export class UnprotectedListenerError extends ComioError {
  readonly code = 'UNPROTECTED_LISTENER'
}

/** Somebody whose token was revoked might get in again. */
export class RevokedTokensUnreadableError extends ComioError {
  readonly code = 'REVOKED_TOKENS_UNREADABLE'
}

/** A revocation holds, but would not outlive the process. */
export class RevocationNotKeptError extends ControlError {
  readonly code = 'REVOCATION_NOT_KEPT'
  readonly status = 500
}

/** A certificate or a key cannot be read, or they do not belong together. */
export class TlsFilesError extends ComioError {
  readonly code = 'TLS_FILES'
}

/** The file in the storage folder that holds the site's role says nothing that is understood. */
export class RoleFileError extends ComioError {
  readonly code = 'ROLE_FILE'
}

/** There is no room for the copy of an index that is to be looked at. */
export class NoPlaceForCopyError extends ComioError {
  readonly code = 'NO_PLACE_FOR_COPY'

  constructor(folder: string, cause: unknown) {
    super(`the index cannot be copied below ${folder} to look at it: ${messageOf(cause)}`, {
      hint: 'Set TMPDIR to a folder with as much room as the index takes, or make that room there.',
      facts: { folder },
      cause,
    })
  }
}

/** A new index would lack what the old one may have, or bring back what was removed. */
export class RebuildLosesError extends ComioError {
  readonly code = 'REBUILD_LOSES'

  constructor(count: number) {
    const what = count === 1 ? 'a part' : `${count} parts`
    super(`${what} of the log cannot be read, and nothing in the log replaces what stood there`, {
      hint: 'Nothing was changed. Work on a copy, or give --skip-damaged to go on without (docs/volume.md).',
      facts: { count },
    })
  }
}

/** The thread that hashed an upload is gone: a retry gets another one. */
export class HashThreadError extends ComioError {
  readonly code = 'HASH_THREAD_FAILED'
}

/** A thread that takes connections is gone, and the site ends with it. */
export class HttpThreadError extends ComioError {
  readonly code = 'HTTP_THREAD_FAILED'
}

/** Somebody asked it to stop before it was done. */
export class WorkStoppedError extends ComioError {
  readonly code = 'STOPPED'

  constructor() {
    super('it was stopped before it was done; nothing was changed')
  }
}
