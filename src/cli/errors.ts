/** The command line's own errors. */
import { ComioError, messageOf } from '../base/errors.ts'

/** The command line asks for something that is not there, or contradicts itself. Exit code 2. */
export class UsageError extends ComioError {
  readonly code = 'USAGE'
}

/** What stdout goes to takes no more. */
export class OutputError extends ComioError {
  readonly code = 'OUTPUT_FAILED'

  constructor(cause: unknown) {
    super(`the output could not be written: ${messageOf(cause)}`, {
      hint: 'Make room where it goes, or let it go elsewhere.',
      cause,
    })
  }
}

/** It ran, and the answer is no: sites differ, a check failed. Exit code 1, already explained. */
export class CommandFailedError extends ComioError {
  readonly code = 'COMMAND_FAILED'
}
