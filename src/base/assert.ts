/**
 * Assertions guard invariants of ComIO's own code and stay on in production: a broken invariant in
 * a storage engine must stop the process before it writes. They are never used for bad input.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws {@link AssertionError} unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** The default branch of an exhaustive switch. */
export function unreachable(value: never, message = 'unreachable'): never {
  throw new AssertionError(`${message}: ${String(value)}`)
}
