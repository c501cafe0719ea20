/** The effective configuration for people and for programs: every key, who set it, no secret. */
import { stringify } from 'yaml'
import { specOf, splitKey } from './config-keys.ts'
import { formatSizeValue, formatValue, mask } from './format-value.ts'
import type { LoadedConfig, Setting } from './load-config.ts'
import { isPemText } from './pem-text.ts'
import type { AcceptEntry, AcceptedToken, AuthToken } from './tokens.ts'
import { describeSource } from './value-source.ts'

export interface ConfigDocument {
  /** Nested as in the file, values as people write them; null where nothing is set. */
  readonly config: Readonly<Record<string, ConfigSection>>
  /** Key to `flag --port`, `environment variable NAME`, `config.yaml:3` or `default`. */
  readonly sources: Readonly<Record<string, string>>
  readonly warnings: readonly string[]
}

type ConfigSection = Readonly<Record<string, unknown>>

export function configDocument(loaded: LoadedConfig): ConfigDocument {
  const config: Record<string, Record<string, unknown>> = {}
  const sources: Record<string, string> = {}
  for (const setting of loaded.settings) {
    const [section, leaf] = splitKey(setting.key)
    sectionIn(config, section)[leaf] = shownValue(setting) ?? null
    sources[setting.key] = describeSource(setting.source)
  }
  return { config, sources, warnings: loaded.warnings }
}

/** The object of a section, made with those around it where they are missing. */
function sectionIn(config: Record<string, unknown>, section: string): Record<string, unknown> {
  let at = config
  for (const name of section.split('.')) {
    at[name] ??= {}
    at = at[name] as Record<string, unknown>
  }
  return at
}

/** YAML with the source of each key as a comment. Without its masked secrets it loads as it is. */
export function explainConfig(loaded: LoadedConfig): string {
  const lines: string[] = []
  let section = ''
  for (const setting of loaded.settings) {
    const [own] = splitKey(setting.key)
    if (own !== section) lines.push(...sectionLines(own, section))
    section = own
    lines.push(...settingLines(setting))
  }
  return `${lines.join('\n')}\n`
}

/** Without those that the section before stands in, too. */
function sectionLines(section: string, before: string): readonly string[] {
  const outer = before.split('.')
  const names = section.split('.')
  const shared = names.findIndex((name, depth) => name !== outer[depth])
  if (shared === -1) return []
  return names.slice(shared).map((name, at) => `${'  '.repeat(shared + at)}${name}:`)
}

const commentColumn = 44

function settingLines(setting: Setting): readonly string[] {
  const [section, leaf] = splitKey(setting.key)
  const indent = '  '.repeat(section.split('.').length)
  const value = shownValue(setting)
  const source = describeSource(setting.source)
  if (value === undefined) {
    return [withComment(`${indent}# ${leaf}:`, `${specOf(setting.key).unset ?? 'none'} (default)`)]
  }
  const [first = '', ...rest] = stringify({ [leaf]: value }, { lineWidth: 0 })
    .trimEnd()
    .split('\n')
  return [withComment(`${indent}${first}`, source), ...rest.map((line) => `${indent}${line}`)]
}

function withComment(text: string, comment: string): string {
  return `${text.padEnd(commentColumn)} # ${comment}`
}

function shownValue(setting: Setting): unknown {
  const { kind } = specOf(setting.key)
  const { value } = setting
  if (value === undefined) return undefined
  switch (kind) {
    case 'secret':
      return mask
    case 'secrets':
      return (value as readonly AcceptedToken[]).map((entry) =>
        typeof entry === 'string' ? mask : shownToken(entry),
      )
    case 'tokens':
      return (value as readonly AuthToken[]).map(shownToken)
    case 'remotes':
      return (value as readonly RemoteEntry[]).map(shownRemote)
    case 'size':
    case 'duration':
      return formatValue(kind, value)
    default:
      return value
  }
}

interface RemoteEntry {
  readonly token?: string
  readonly client_key?: string
  readonly batch_bytes?: number
  readonly bandwidth_limit?: number
}

function shownRemote(entry: RemoteEntry): object {
  const { token, client_key: key, batch_bytes: batch, bandwidth_limit: limit } = entry
  return {
    ...entry,
    ...(token === undefined ? {} : { token: mask }),
    ...(key === undefined || !isPemText(key) ? {} : { client_key: mask }),
    ...(batch === undefined ? {} : { batch_bytes: formatSizeValue(batch) }),
    ...(limit === undefined ? {} : { bandwidth_limit: formatSizeValue(limit) }),
  }
}

/** As in the file, but for the token. */
function shownToken(entry: AcceptEntry): Readonly<Record<string, string>> {
  const { token: _, tokenFile, expires, ...rest } = entry
  return {
    ...rest,
    ...(tokenFile === undefined ? { token: mask } : { token_file: tokenFile }),
    ...(expires === undefined ? {} : { expires: new Date(expires).toISOString() }),
  }
}
