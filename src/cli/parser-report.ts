/** What oclif's parser complains about, in our words and without any value: one may be a secret. */
import { nearestName } from '../config/nearest-name.ts'
import type { ErrorReport } from './error-report.ts'

const surplus = 'there is an argument that this command does not take'

export function parserReport(error: Error): ErrorReport {
  const unknown = fieldOf(error, 'flags')
  if (Array.isArray(unknown)) return unknownFlags(unknown.map(String), error)
  const message = error.message
    .replace(/\nSee more help with --help$/, '')
    .replace(/^The following errors? occurred:\s*/, '')
    .replace(/^Unexpected arguments?: .*$/s, surplus)
    .replace(/^Expected (--[\w-]+)=.* to be (one of: .*)$/s, '$1 must be $2')
    .replace(/^Parsing (--[\w-]+)\s+Expected (.*?) but received.*$/s, '$1 must be $2')
    .replaceAll(/(--[\w-]+)=.*? cannot also be provided when using/gs, '$1 cannot be used with')
    .replaceAll(' cannot also be provided when using', ' cannot be used with')
    .replaceAll(/\s*\n\s*/g, '; ')
  const takesStorage = 'storage' in flagsOf(error) && message.startsWith(surplus)
  const storage = takesStorage ? 'A volume is named with --storage PATH. ' : ''
  return {
    message,
    code: 'USAGE',
    hint: `${storage}Add --help to the command to see what it takes.`,
  }
}

/** `--tokne=abc` becomes `--tokne`; what followed as a word of its own is left out. */
function unknownFlags(flags: readonly string[], error: Error): ErrorReport {
  const names = flags.map((flag) => flag.replace(/=.*$/s, ''))
  const near = nearestName(names[0] ?? '', Object.keys(flagsOf(error)))
  const hint =
    near === undefined ? 'Add --help to the command to see its flags.' : `Did you mean --${near}?`
  return { message: `there is no flag ${names.join(', ')}`, code: 'USAGE', hint }
}

/** Those that the command takes. */
function flagsOf(error: Error): object {
  return Object(fieldOf(fieldOf(fieldOf(error, 'parse'), 'input'), 'flags'))
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}
