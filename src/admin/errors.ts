/** The control plane's own errors. Each knows the HTTP status of its answer. */
import { ComioError, type ComioErrorOptions } from '../base/errors.ts'

export abstract class ControlError extends ComioError {
  abstract readonly status: number
}

export class InvalidRequestError extends ControlError {
  readonly code = 'INVALID_REQUEST'
  readonly status: number

  /** @param status 400, 413 or 415 */
  constructor(message: string, options: ComioErrorOptions & { readonly status?: number } = {}) {
    super(message, options)
    this.status = options.status ?? 400
  }
}

export class NoSuchEndpointError extends ControlError {
  readonly code = 'NO_SUCH_ENDPOINT'
  readonly status = 404
}

export class MethodNotAllowedError extends ControlError {
  readonly code = 'METHOD_NOT_ALLOWED'
  readonly status = 405
  readonly allow: string

  constructor(message: string, allow: readonly string[]) {
    super(message, { hint: `It answers ${allow.join(', ')}.` })
    this.allow = allow.join(', ')
  }
}

/** A comparison is running already, and there is one at a time. */
export class VerifyRunningError extends ControlError {
  readonly code = 'VERIFY_RUNNING'
  readonly status = 409
}

export class ScrubRunningError extends ControlError {
  readonly code = 'SCRUB_RUNNING'
  readonly status = 409
}

export class NoSuchLetterError extends ControlError {
  readonly code = 'NO_SUCH_DEAD_LETTER'
  readonly status = 404
}

export class NoSuchRemoteError extends ControlError {
  readonly code = 'NO_SUCH_REMOTE'
  readonly status = 404
}

/** What is said of a remote cannot be so. */
export class RemoteSettingsError extends ControlError {
  readonly code = 'REMOTE_SETTINGS'
  readonly status = 400
}

/** It is there already, or somebody else's to change. */
export class RemoteConflictError extends ControlError {
  readonly code = 'REMOTE_CONFLICT'
  readonly status = 409
}

export class NoSuchTokenError extends ControlError {
  readonly code = 'NO_SUCH_TOKEN'
  readonly status = 404
}
