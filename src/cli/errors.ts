/** The command line's own errors. */
import { ComioError } from '../base/errors.ts'

/** The command line asks for something that is not there, or contradicts itself. Exit code 2. */
export class UsageError extends ComioError {
  readonly code = 'USAGE'
}

/** It ran, and the answer is no: sites differ, a check failed. Exit code 1, already explained. */
export class CommandFailedError extends ComioError {
  readonly code = 'COMMAND_FAILED'
}
