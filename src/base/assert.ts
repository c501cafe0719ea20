/**
 * Assertions guard invariants of ComIO's own code and stay on in production: a broken invariant in
 * a storage engine must stop the process before it writes. They are never used for bad input.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** How deep wrapped errors are looked into. */
const causesMax = 8

/** Throws {@link AssertionError} unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/**
 * The first statement of whatever catches everything: a broken invariant must end the process, and
 * never become an answer, a retry or a line in the log. What is detached rejects with it, unhandled.
 */
export function rethrowAssertion(thrown: unknown): void {
  for (let cause = thrown, depth = 0; depth < causesMax; depth++) {
    if (cause instanceof AssertionError) throw cause
    if (!(cause instanceof Error)) return
    cause = cause.cause
  }
}

/** The default branch of an exhaustive switch. */
export function unreachable(value: never, message = 'unreachable'): never {
  throw new AssertionError(`${message}: ${String(value)}`)
}
