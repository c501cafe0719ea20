/**
 * The root of every error that ComIO throws on purpose. Each layer keeps its own classes in its
 * `errors.ts`; a code is stable, unique and listed in man/comio-errors.7. This file knows no layer.
 */

export interface ErrorFacts {
  readonly [fact: string]: string | number | boolean | undefined
}

export interface ComioErrorOptions {
  /** What the reader can do about it, as a sentence. */
  readonly hint?: string
  /** Which key, which offset, which peer: shown beside the message and logged as fields. */
  readonly facts?: ErrorFacts
  readonly cause?: unknown
}

export abstract class ComioError extends Error {
  /** Stable identifier, SCREAMING_SNAKE_CASE. */
  abstract readonly code: string
  readonly hint: string | undefined
  readonly facts: ErrorFacts

  /** @param message what happened and what it means, one sentence, no trailing full stop */
  constructor(message: string, options: ComioErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.hint = options.hint
    this.facts = options.facts ?? {}
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** The system error code (`ENOSPC`, `ECONNREFUSED`, ...) of anything that was thrown, if it has one. */
export function systemCodeOf(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined
  return typeof thrown.code === 'string' ? thrown.code : undefined
}

/** Why a file that somebody named could not be read, in words; undefined where only the system has some. */
export function unreadableBecause(thrown: unknown): string | undefined {
  switch (systemCodeOf(thrown)) {
    case 'ENOENT':
      return 'there is no such file'
    case 'EACCES':
      return 'this user may not read it'
    case 'EISDIR':
      return 'it is a directory'
    default:
      return undefined
  }
}
