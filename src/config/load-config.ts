/** From flags, environment, file and defaults to one configuration, or to everything wrong with it. */
import { isAbsolute, join, resolve } from 'node:path'
import { messageOf, systemCodeOf, unreadableBecause } from '../base/errors.ts'
import { parseConfigFile, type RawLayer } from './config-file.ts'
import { type ConfigKey, configKeyNames, specOf } from './config-keys.ts'
import { type ConfigFlags, type Environment, readEnvironment, readFlags } from './config-layers.ts'
import type { Rule, RuleFinding, RuleView } from './config-rule.ts'
import { cautions, rules } from './config-rules.ts'
import { ConfigError, type ConfigProblem } from './errors.ts'
import { nodeAt, plainOf, type RawNode } from './raw-node.ts'
import { describeIssue } from './schema-issue.ts'
import { type ConfigValues, type ServerConfig, toServerConfig } from './server-config.ts'
import { serverConfigSchema } from './server-config-schema.ts'
import { fillTokenFiles } from './token-files.ts'
import { describeSource, type ValueSource } from './value-source.ts'

export interface LoadConfigInput {
  readonly flags: ConfigFlags
  readonly env: Environment
  readonly readFile: (path: string) => Promise<string>
  readonly cwd: string
  /** Whether stdout is a terminal: what logging.format depends on. */
  readonly terminal?: boolean
}

/** One key with its effective value and who set it. */
export interface Setting {
  readonly key: ConfigKey
  /** Parsed; undefined when nothing is set and there is no default value. */
  readonly value: unknown
  readonly source: ValueSource
}

export interface LoadedConfig {
  readonly config: ServerConfig
  /** Every key, in the order of the manual. Holds secrets: show them through `explainConfig`. */
  readonly settings: readonly Setting[]
  /** Without secrets, one line each. */
  readonly warnings: readonly string[]
}

const configFileName = 'config.yaml'

/** @throws ConfigError with every problem there is */
export async function loadConfig(input: LoadConfigInput): Promise<LoadedConfig> {
  const layers = [readFlags(input.flags), readEnvironment(input.env), await readConfigFile(input)]
  const problems = layers.flatMap((layer) => layer.problems)
  const raw = mergeLayers(layers)
  const parsed = parseValues(raw)
  problems.push(...parsed.problems)
  const filled = await fillTokenFiles(parsed.values, {
    absolute: (path) => resolve(input.cwd, path),
    readFile: input.readFile,
    explain: readFailure,
  })
  const { values } = filled
  problems.push(...filled.findings.map((found) => placed(raw, found)))
  const remotes = await readRemoteTokens(values, input)
  for (const { position, sentence } of remotes.problems) {
    const place = { key: 'replication.remotes', path: [position, 'token_file'] } as const
    problems.push({ key: place.key, source: sourceOf(raw, place), sentence })
  }
  const tokenFile = await readTokenFile(values, input)
  if (tokenFile.sentence !== undefined) {
    const key = 'replication.remote_token_file'
    problems.push({ key, source: sourceOf(raw, { key }), sentence: tokenFile.sentence })
  }
  const view: RuleView = { values, isSet: (key) => raw.has(key) }
  if (layers.every((layer) => layer.readable !== false)) {
    const sound = rules.filter((rule) => !rule.needs.some((key) => isBroken(key, problems)))
    problems.push(...applyRules(sound, view, raw))
  }
  if (problems.length > 0) throw new ConfigError(inOrder(problems))
  const token = tokenFile.token ?? values['replication.remote_token']
  const complete: ConfigValues = {
    ...values,
    'replication.remote_token': token,
    'replication.remotes': remotes.entries,
  }
  const warnings = applyRules(cautions, { ...view, values: complete }, raw)
  const surroundings = {
    absolute: (path: string) => resolve(input.cwd, path),
    terminal: input.terminal ?? false,
  }
  return {
    config: toServerConfig(complete, surroundings),
    settings: configKeyNames.map((key) => settingOf(key, parsed.values, raw)),
    warnings: warnings.map((warning) => `${describeSource(warning.source)}: ${warning.sentence}`),
  }
}

async function readConfigFile(input: LoadConfigInput): Promise<RawLayer> {
  const named = input.flags.config
  const path = typeof named === 'string' ? named : configFileName
  const full = isAbsolute(path) ? path : join(input.cwd, path)
  try {
    return parseConfigFile(await input.readFile(full), path)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT' && named === undefined) return { values: new Map(), problems: [] }
    const source: ValueSource =
      named === undefined
        ? { kind: 'file', path, line: undefined }
        : { kind: 'flag', name: 'config' }
    const sentence = `cannot read ${path}: ${readFailure(error)}`
    return { values: new Map(), problems: [{ key: '', source, sentence }], readable: false }
  }
}

function readFailure(error: unknown): string {
  return unreadableBecause(error) ?? messageOf(error)
}

/** The first layer that has a key decides it. */
function mergeLayers(layers: readonly RawLayer[]): ReadonlyMap<ConfigKey, RawNode> {
  const merged = new Map<ConfigKey, RawNode>()
  for (const key of configKeyNames) {
    const node = layers.map((layer) => layer.values.get(key)).find((found) => found !== undefined)
    if (node !== undefined) merged.set(key, node)
  }
  return merged
}

/** What is valid of `raw`, and what is wrong with the rest. */
function parseValues(raw: ReadonlyMap<ConfigKey, RawNode>): {
  readonly values: ConfigValues
  readonly problems: readonly ConfigProblem[]
} {
  const plain = new Map([...raw].map(([key, node]) => [key, plainOf(node)]))
  const schema = serverConfigSchema.partial()
  const first = schema.safeParse(Object.fromEntries(plain))
  if (first.success) return { values: first.data, problems: [] }
  const problems = first.error.issues.flatMap((issue) => describeIssue(issue, raw))
  for (const problem of first.error.issues) plain.delete(problem.path[0] as ConfigKey)
  const second = schema.safeParse(Object.fromEntries(plain))
  return { values: second.data ?? {}, problems }
}

type RemoteEntries = NonNullable<ConfigValues['replication.remotes']>

/** The remotes with the tokens that their files hold. */
async function readRemoteTokens(
  values: ConfigValues,
  input: LoadConfigInput,
): Promise<{
  readonly entries: RemoteEntries | undefined
  readonly problems: readonly { readonly position: number; readonly sentence: string }[]
}> {
  const problems: { position: number; sentence: string }[] = []
  const entries: RemoteEntries = []
  for (const [position, entry] of (values['replication.remotes'] ?? []).entries()) {
    const label = `replication.remotes[${position}].token_file`
    const file = await readToken(entry.token_file, label, input)
    if (file.sentence !== undefined) problems.push({ position, sentence: file.sentence })
    entries.push(file.token === undefined ? entry : { ...entry, token: file.token })
  }
  return { entries: values['replication.remotes'] && entries, problems }
}

function readTokenFile(values: ConfigValues, input: LoadConfigInput): Promise<FoundToken> {
  const key = 'replication.remote_token_file'
  return readToken(values[key], key, input)
}

interface FoundToken {
  readonly token?: string
  /** Why there is none, although there should be. */
  readonly sentence?: string
}

async function readToken(
  path: string | undefined,
  label: string,
  input: LoadConfigInput,
): Promise<FoundToken> {
  if (path === undefined) return {}
  try {
    const text = (await input.readFile(resolve(input.cwd, path))).trim()
    const parsed = serverConfigSchema.shape['replication.remote_token'].safeParse(text)
    if (parsed.success) return { token: parsed.data }
    return { sentence: `${label} is ${path}, but its content ${tokenForm}` }
  } catch (error) {
    return { sentence: `${label} is ${path}, but cannot be read: ${readFailure(error)}` }
  }
}

const tokenForm = 'must be one line with a token of visible ASCII characters'

function isBroken(key: ConfigKey, problems: readonly ConfigProblem[]): boolean {
  return problems.some((problem) => problem.key === key || problem.key.startsWith(`${key}[`))
}

function applyRules(
  list: readonly Rule[],
  view: RuleView,
  raw: ReadonlyMap<ConfigKey, RawNode>,
): readonly ConfigProblem[] {
  return list.flatMap((rule) => rule.check(view)).map((found) => placed(raw, found))
}

function placed(raw: ReadonlyMap<ConfigKey, RawNode>, found: RuleFinding): ConfigProblem {
  return { key: found.key, source: sourceOf(raw, found), sentence: found.sentence }
}

function sourceOf(
  raw: ReadonlyMap<ConfigKey, RawNode>,
  place: { readonly key: ConfigKey; readonly path?: readonly (string | number)[] },
): ValueSource {
  const node = raw.get(place.key)
  return node === undefined ? { kind: 'default' } : nodeAt(node, place.path ?? []).source
}

/** By line within the file, after what flags and environment say. */
function inOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const rank = ({ source }: ConfigProblem): number =>
    source.kind === 'file' ? (source.line ?? 0) + 2 : source.kind === 'flag' ? 0 : 1
  return problems.toSorted((left, right) => rank(left) - rank(right))
}

function settingOf(
  key: ConfigKey,
  values: ConfigValues,
  raw: ReadonlyMap<ConfigKey, RawNode>,
): Setting {
  const set = values[key]
  if (set !== undefined) return { key, value: set, source: sourceOf(raw, { key }) }
  return { key, value: specOf(key).default, source: { kind: 'default' } }
}
