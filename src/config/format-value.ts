/** Parsed values as people write them, so that what is shown can be pasted into a file. */
import type { ValueKind } from './config-keys.ts'

const sizeUnits = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const

const durationUnits = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

function exactly(value: number, units: readonly (readonly [string, number])[], rest: string) {
  const fit = units.find(([, factor]) => value !== 0 && value % factor === 0)
  return fit === undefined ? `${value}${rest}` : `${value / fit[1]}${fit[0]}`
}

/** `8MiB`; in bytes when no larger unit fits exactly. */
export function formatSizeValue(bytes: number): string {
  return exactly(bytes, sizeUnits, '')
}

/** `5m`; in milliseconds when no larger unit fits exactly. */
export function formatDurationValue(ms: number): string {
  return exactly(ms, durationUnits, 'ms')
}

export function formatValue(kind: ValueKind, value: unknown): string {
  if (kind === 'size' && typeof value === 'number') return formatSizeValue(value)
  if (kind === 'duration' && typeof value === 'number') return formatDurationValue(value)
  return String(value)
}

/** In place of a secret, whatever its length. */
export const mask = '********'

const shownCharactersMax = 60

/** What somebody wrote, short enough for one line, in quotes. */
export function quoteValue(text: string): string {
  const short =
    text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax - 3)}...` : text
  return JSON.stringify(short)
}

/** A URL without user name, password, query and fragment: all of them may hold secrets. */
export function quoteUrl(text: string): string {
  const bare = text.replace(/^([a-z+.-]*:?\/\/)?[^/]*@/i, `$1${mask}@`).replace(/[?#].*$/s, '')
  return quoteValue(bare)
}
