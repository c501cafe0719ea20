/** A thrown value as the lines that a person reads on stderr. */
import { AssertionError } from '../base/assert.ts'
import { ComioError, messageOf } from '../base/errors.ts'
import type { ErrorReport } from './error-report.ts'
import { paint, writeNote } from './output.ts'
import { parserReport } from './parser-report.ts'

function reportOf(thrown: unknown): ErrorReport {
  if (thrown instanceof ComioError) {
    return { message: thrown.message, code: thrown.code, hint: thrown.hint }
  }
  if (thrown instanceof Error && 'oclif' in thrown) return parserReport(thrown)
  const message = messageOf(thrown).split('\n', 1)[0] ?? ''
  return { message, code: 'UNEXPECTED', hint: 'Set DEBUG=1 to see where this comes from.' }
}

/** True for what ends a command without a word, such as an exit that was asked for. */
export function isSilent(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIT'
}

export interface PrintErrorOptions {
  /** One JSON document on stderr instead of lines. */
  readonly json: boolean
  /** Show the stack. */
  readonly debug: boolean
}

export function printError(thrown: unknown, options: PrintErrorOptions): void {
  const report = reportOf(thrown)
  // A broken invariant is a bug of ComIO's: who reports it needs the place, asked for or not.
  const wanted = options.debug || thrown instanceof AssertionError
  const stack = wanted && thrown instanceof Error ? thrown.stack : undefined
  if (options.json) {
    const facts = thrown instanceof ComioError ? thrown.facts : undefined
    writeNote(JSON.stringify({ error: { ...report, facts, stack } }))
    return
  }
  writeNote(`${paint('red', 'error:', process.stderr)} ${report.message}`)
  if (report.hint !== undefined) writeNote(`hint:  ${report.hint}`)
  writeNote(`code:  ${report.code}`)
  if (stack !== undefined) writeNote(stack)
}
