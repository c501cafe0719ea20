/** What the schema objects to, in words: with the key, the value unless it is secret, and the place. */
import type { z } from 'zod'
import { type ConfigKey, specOf } from './config-keys.ts'
import type { ConfigProblem } from './errors.ts'
import { mask, quoteUrl, quoteValue } from './format-value.ts'
import { nearestName } from './nearest-name.ts'
import { isFields, nodeAt, type RawNode } from './raw-node.ts'
import { remoteFieldNames } from './remote-entry.ts'

type Issue = z.core.$ZodIssue

export function describeIssue(
  issue: Issue,
  raw: ReadonlyMap<ConfigKey, RawNode>,
): readonly ConfigProblem[] {
  const key = issue.path[0] as ConfigKey
  const root = raw.get(key)
  if (root === undefined) return []
  const path = issue.path.slice(1)
  const node = nodeAt(root, path)
  const label = labelOf(key, path)
  if (issue.code === 'unrecognized_keys') return unknownFields(issue, { key, label, node })
  if (path.length > 0 && isFields(node.value)) {
    const last = path.at(-1)
    if (typeof last === 'string') {
      const sentence = `${label} is missing: it ${issue.message}`
      return [{ key: label, source: node.source, sentence }]
    }
  }
  const sentence = `${label} is ${shown(key, path, node)}, but ${issue.message}`
  return [{ key: label, source: node.source, sentence }]
}

/** `auth.tokens[1].role` */
function labelOf(key: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (label, step) => (typeof step === 'number' ? `${label}[${step}]` : `${label}.${String(step)}`),
    key,
  )
}

const tokenFieldNames = ['name', 'role', 'token', 'token_file', 'expires']

function unknownFields(
  issue: Extract<Issue, { code: 'unrecognized_keys' }>,
  at: { readonly key: ConfigKey; readonly label: string; readonly node: RawNode },
): readonly ConfigProblem[] {
  const fieldNames = specOf(at.key).kind === 'remotes' ? remoteFieldNames : tokenFieldNames
  return issue.keys.map((name) => {
    const near = nearestName(name, fieldNames)
    const advice = near === undefined ? '' : `; did you mean ${near}?`
    const key = `${at.label}.${name}`
    const source = nodeAt(at.node, [name]).source
    return { key, source, sentence: `${key} is no known field${advice}` }
  })
}

/** Of a remote: what is a secret, or may be the text of one. */
const hiddenFields: ReadonlySet<unknown> = new Set(['token', 'ca', 'client_cert', 'client_key'])

/**
 * The value, unless it is a secret or may be one that stands in the wrong place: of `auth.tokens`
 * only the name and the role are shown, and only while they are too short for a token.
 */
function shown(key: ConfigKey, path: readonly PropertyKey[], node: RawNode): string {
  const { kind } = specOf(key)
  if (kind === 'secret' || kind === 'secrets') return mask
  const text = typeof node.value === 'string' ? node.value : undefined
  if (kind === 'tokens') {
    const open = ['name', 'role'].includes(String(path.at(-1)))
    return open && text !== undefined && text.length < 16 ? quoteValue(text) : mask
  }
  if (kind === 'remotes') {
    if (text === undefined || hiddenFields.has(path.at(-1))) return mask
    return path.includes('url') ? quoteUrl(text) : quoteValue(text)
  }
  if (text === undefined) return isFields(node.value) ? 'a group of keys' : 'a list'
  return kind === 'url' ? quoteUrl(text) : quoteValue(text)
}
