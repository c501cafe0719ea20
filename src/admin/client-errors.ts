/** What can go wrong between a command and the site it asks. */
import { ComioError, type ComioErrorOptions } from '../base/errors.ts'

/** Nobody answered: not there, not reachable, or too slow. */
export class SiteUnreachableError extends ComioError {
  readonly code = 'SITE_UNREACHABLE'
}

/** The site answered, with a refusal. The code is the site's own, so that scripts can tell them apart. */
export class AdminRequestError extends ComioError {
  readonly code: string
  readonly status: number

  constructor(
    message: string,
    options: ComioErrorOptions & { readonly status: number; readonly code: string },
  ) {
    super(message, options)
    this.status = options.status
    this.code = options.code
  }
}

/** Something answered, but not as a ComIO site of this version does. */
export class UnexpectedAnswerError extends ComioError {
  readonly code = 'UNEXPECTED_ANSWER'
}
