import { ComioError } from '../base/errors.ts'

/** The demonstration could not be carried to its end: a site did not start, or nothing moved. */
export class DemoFailedError extends ComioError {
  readonly code = 'DEMO_FAILED'
}
