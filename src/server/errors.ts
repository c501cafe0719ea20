/** Why a site does not start. */
import { ComioError } from '../base/errors.ts'

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
