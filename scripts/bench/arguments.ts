/** The options of the benchmarks: what they may be is checked before anything is measured. */
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { parseByteSize } from '../../src/base/byte-size.ts'

export interface Option<T> {
  readonly help: string
  /** Undefined when it may be left out. */
  readonly fallback: string | undefined
  /** What is taken, in words. */
  readonly wants: string
  readonly parse: (text: string) => T | undefined
}

export function count(fallback: string, help: string): Option<number> {
  const parse = (text: string): number | undefined => {
    return /^[1-9]\d{0,11}$/.test(text) ? Number(text) : undefined
  }
  return { help, fallback, wants: 'a whole number from 1', parse }
}

export function positive(fallback: string, help: string): Option<number> {
  const parse = (text: string): number | undefined => {
    return /^\d+(\.\d+)?$/.test(text) && Number(text) > 0 ? Number(text) : undefined
  }
  return { help, fallback, wants: 'a number above 0', parse }
}

export function inPercent(fallback: string, help: string): Option<number> {
  const parse = (text: string): number | undefined => {
    return /^\d{1,2}$/.test(text) && Number(text) > 0 ? Number(text) : undefined
  }
  return { help, fallback, wants: 'a whole number from 1 to 99', parse }
}

export function byteSize(fallback: string, help: string): Option<number> {
  return { help, fallback, wants: 'a size, such as 2GiB', parse: parseByteSize }
}

export function path(fallback: string | undefined, help: string): Option<string> {
  return { help, fallback, wants: 'a path', parse: (text) => text || undefined }
}

/** Some of `names`; all unless told. */
export function some(names: readonly string[], help: string): Option<readonly string[]> {
  const all = names.join(',')
  const parse = (text: string): readonly string[] | undefined => {
    const chosen = text.split(',')
    return chosen.every((name) => names.includes(name)) ? chosen : undefined
  }
  return { help, fallback: all, wants: `some of ${all}`, parse }
}

/** May be left out. */
export function optional<T>(option: Option<T>): Option<T | undefined> {
  return { ...option, fallback: undefined }
}

type Parsed<Options> = {
  readonly [Name in keyof Options]: Options[Name] extends Option<infer T> ? T : never
}

/** What the command line says; the process ends with a word when it says something else, or asks for help. */
export function benchArguments<Options extends Readonly<Record<string, Option<unknown>>>>(
  summary: string,
  options: Options,
): Parsed<Options> {
  const given = argumentsOf(Object.keys(options))
  if (typeof given === 'string') return refuse(given)
  if (given.help === true) {
    console.info(usageOf(summary, options))
    process.exit(0)
  }
  const parsed: Record<string, unknown> = {}
  for (const [name, { fallback, wants, parse }] of Object.entries(options)) {
    const text = given[name] ?? fallback
    if (typeof text !== 'string') continue
    const value = parse(text)
    if (value === undefined) return refuse(`--${name} takes ${wants}, not '${text}'`)
    parsed[name] = value
  }
  return parsed as Parsed<Options>
}

type Given = Readonly<Record<string, string | boolean | undefined>>

function argumentsOf(names: readonly string[]): Given | string {
  const texts = names.map((name) => [name, { type: 'string' as const }])
  try {
    const options = { ...Object.fromEntries(texts), help: { type: 'boolean' as const } }
    return parseArgs({ options }).values as Given
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  }
}

function refuse(message: string): never {
  console.error(`error: ${message}\nhint:  --help lists what there is`)
  process.exit(2)
}

function usageOf(summary: string, options: Readonly<Record<string, Option<unknown>>>): string {
  const script = basename(process.argv[1] ?? '')
  const lines = Object.entries(options).map(([name, { help, fallback, wants }]) => {
    const shown = fallback === undefined ? wants : `${wants}; ${fallback} unless told`
    return `  --${name.padEnd(12)} ${help} (${shown})`
  })
  return [summary, '', `usage: node scripts/${script} [--OPTION VALUE]...`, '', ...lines].join('\n')
}
