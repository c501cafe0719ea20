/** Flags and environment as raw values, in the same form as the file's. */
import type { RawLayer } from './config-file.ts'
import { type ConfigKey, configKeyNames, environmentNameOf, specOf } from './config-keys.ts'
import type { ConfigProblem } from './errors.ts'
import { nearestName } from './nearest-name.ts'
import { type RawNode, rawFromJson } from './raw-node.ts'
import type { ValueSource } from './value-source.ts'

/** What the command line said, by flag name without hyphens; what was not given is undefined. */
export type ConfigFlags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>
export type Environment = Readonly<Record<string, string | undefined>>

export function readFlags(flags: ConfigFlags): RawLayer {
  const values = new Map<ConfigKey, RawNode>()
  for (const key of configKeyNames) {
    const name = specOf(key).flag
    const given = name === undefined ? undefined : flags[name]
    if (name === undefined || given === undefined) continue
    const source: ValueSource = { kind: 'flag', name: given === false ? `no-${name}` : name }
    const node = rawFromJson(given, source)
    if (node !== undefined) values.set(key, node)
  }
  return { values, problems: [] }
}

/** Variables of these sections that name no key are typing mistakes. */
const sectionPattern = /^COMIO_(SERVER|STORAGE|LOGGING|AUTH|REPLICATION)_/

export function readEnvironment(env: Environment): RawLayer {
  const values = new Map<ConfigKey, RawNode>()
  const problems: ConfigProblem[] = []
  const names = new Map(configKeyNames.map((key) => [environmentNameOf(key), key]))
  for (const [name, text] of Object.entries(env)) {
    // An empty variable counts as not set: that is how compose files leave one out.
    if (text === undefined || text === '') continue
    const key = names.get(name)
    if (key !== undefined) {
      readVariable({ key, name, text }, { values, problems })
    } else if (sectionPattern.test(name)) {
      problems.push(unknownVariable(name, names.keys()))
    }
  }
  return { values, problems }
}

function unknownVariable(name: string, known: Iterable<string>): ConfigProblem {
  const near = nearestName(name, known)
  const advice = near === undefined ? '' : `; did you mean ${near}?`
  const source: ValueSource = { kind: 'environment', name }
  return { key: '', source, sentence: `it belongs to no known key${advice}` }
}

function readVariable(
  variable: { readonly key: ConfigKey; readonly name: string; readonly text: string },
  into: { readonly values: Map<ConfigKey, RawNode>; readonly problems: ConfigProblem[] },
): void {
  const { key, name, text } = variable
  const source: ValueSource = { kind: 'environment', name }
  const { kind } = specOf(key)
  if (kind !== 'secrets' && kind !== 'tokens' && kind !== 'remotes') {
    into.values.set(key, { source, value: text })
    return
  }
  const list = readList(text, kind === 'secrets')
  const node = list === undefined ? undefined : rawFromJson(list, source)
  if (node !== undefined) {
    into.values.set(key, node)
    return
  }
  const form = kind === 'secrets' ? 'tokens separated by commas, or a JSON list' : 'a JSON list'
  into.problems.push({ key, source, sentence: `${key} must be ${form}` })
}

/** JSON where it looks like it, else, if allowed, the texts between commas. */
function readList(text: string, commas: boolean): readonly unknown[] | undefined {
  if (commas && !text.trimStart().startsWith('[')) {
    return text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  }
  try {
    const json: unknown = JSON.parse(text)
    return Array.isArray(json) ? json : undefined
  } catch {
    // The parser's own message quotes the text, and so perhaps a token; the caller says it better.
    return undefined
  }
}
