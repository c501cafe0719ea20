/** `config.yaml` as raw values with their lines. Nothing of the file's text gets into a message. */
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml'
import { type ConfigKey, configKeyNames, isConfigKey, splitKey } from './config-keys.ts'
import type { ConfigProblem } from './errors.ts'
import { nearestName } from './nearest-name.ts'
import { type RawNode, rawDepthMax } from './raw-node.ts'

export interface RawLayer {
  readonly values: ReadonlyMap<ConfigKey, RawNode>
  readonly problems: readonly ConfigProblem[]
  /** False when nothing is known about what this layer wanted to say. */
  readonly readable?: boolean
}

/** Configurations are a page long; a file above this is something else. */
const configFileCharactersMax = 1_000_000

export function parseConfigFile(text: string, path: string): RawLayer {
  if (text.length > configFileCharactersMax) {
    const sentence = `the file has more than ${configFileCharactersMax} characters, so it is no configuration`
    const source = { kind: 'file', path, line: undefined } as const
    return { values: new Map(), problems: [{ key: '', source, sentence }], readable: false }
  }
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    version: '1.2',
    logLevel: 'error',
  })
  const reader = new FileReader(path, lines)
  if (document.errors.length > 0) reader.refuseSyntax(document.errors)
  else reader.readDocument(document)
  return {
    values: reader.values,
    problems: reader.problems,
    readable: document.errors.length === 0,
  }
}

class FileReader {
  readonly values = new Map<ConfigKey, RawNode>()
  readonly problems: ConfigProblem[] = []
  readonly #path: string
  readonly #lines: LineCounter

  constructor(path: string, lines: LineCounter) {
    this.#path = path
    this.#lines = lines
  }

  /** The first one only: what follows a syntax error is mostly its consequence. */
  refuseSyntax(errors: readonly YAMLError[]): void {
    const [error] = errors
    if (error === undefined) return
    const said = syntaxWords[error.code] ?? `it is not valid YAML here (${error.code})`
    this.#refuse('', error.pos[0], said)
  }

  readDocument(document: Document.Parsed): void {
    const root = document.contents
    if (root === null || (isScalar(root) && root.value === null)) return
    if (!isMap(root)) {
      this.#refuse('', root.range?.[0] ?? 0, 'the file must hold sections, such as server:')
      return
    }
    for (const pair of root.items) {
      const section = nameOf(pair)
      if (topSections.includes(section)) this.#readSection(section, pair)
      else this.#refuseUnknown(section, pair)
    }
  }

  #readSection(section: string, pair: Pair): void {
    const { value } = pair
    if (value === null || (isScalar(value) && value.value === null)) return
    if (!isMap(value)) {
      this.#refuse(section, offsetOf(pair), `${section} must hold keys, such as ${first(section)}`)
      return
    }
    for (const inner of value.items) {
      const name = `${section}.${nameOf(inner)}`
      if (sections.includes(name)) this.#readSection(name, inner)
      else this.#readKey(name, inner)
    }
  }

  #readKey(key: string, pair: Pair): void {
    if (!isConfigKey(key)) {
      this.#refuseUnknown(key, pair)
      return
    }
    const node = this.#nodeOf(key, pair.value, { offset: offsetOf(pair), depth: 0 })
    if (node !== undefined) this.values.set(key, node)
  }

  /** Undefined for what is left empty, and for what was refused. */
  #nodeOf(
    key: string,
    value: unknown,
    at: { readonly offset: number; readonly depth: number },
  ): RawNode | undefined {
    const offset = rangeStart(value) ?? at.offset
    const source = { kind: 'file', path: this.#path, line: this.#lineAt(offset) } as const
    const inner = { offset, depth: at.depth + 1 }
    if (value === null || (isScalar(value) && value.value === null)) return undefined
    // A token of digits only stays the text that was written: as a number it would lose digits.
    if (isScalar(value)) {
      const written = typeof value.value === 'string' ? value.value : value.source
      return { source, value: written ?? String(value.value) }
    }
    if (at.depth >= rawDepthMax) {
      this.#refuse(key, offset, `${key} is nested too deeply`)
    } else if (isSeq(value)) {
      const items = value.items.map((item) => this.#nodeOf(key, item, inner))
      return { source, value: items.filter((item) => item !== undefined) }
    } else if (isMap(value)) {
      const fields = new Map<string, RawNode>()
      for (const pair of value.items) {
        const field = this.#nodeOf(key, pair.value, { ...inner, offset: offsetOf(pair) })
        if (field !== undefined) fields.set(nameOf(pair), field)
      }
      return { source, value: fields }
    } else {
      this.#refuse(key, offset, `${key} must be written out: anchors and aliases are not supported`)
    }
    return undefined
  }

  #refuseUnknown(key: string, pair: Pair): void {
    const nested = isConfigKey(key)
    const [section, leaf] = splitKey(key)
    if (nested) {
      this.#refuse(key, offsetOf(pair), `${key} must be nested: write ${leaf} below ${section}:`)
      return
    }
    const near = suggestKey(key)
    const advice = near === undefined ? '' : `; did you mean ${near}?`
    this.#refuse(key, offsetOf(pair), `${key} is no known key${advice}`)
  }

  #refuse(key: string, offset: number, sentence: string): void {
    const source = { kind: 'file', path: this.#path, line: this.#lineAt(offset) } as const
    this.problems.push({ key, source, sentence })
  }

  #lineAt(offset: number): number {
    return this.#lines.linePos(offset).line
  }
}

const sections: readonly string[] = [...new Set(configKeyNames.map((key) => splitKey(key)[0]))]
const topSections: readonly string[] = [
  ...new Set(configKeyNames.map((key) => key.split('.', 1)[0] ?? key)),
]

function first(section: string): string {
  return configKeyNames.find((key) => key.startsWith(`${section}.`)) ?? section
}

/** A key near to `unknown`: in its own section first, then a whole section, then anywhere. */
function suggestKey(unknown: string): string | undefined {
  const [section, leaf] = splitKey(unknown)
  if (leaf === '') {
    return nearestName(section, topSections) ?? nearestLeaf(section, configKeyNames)
  }
  const siblings = configKeyNames.filter((key) => splitKey(key)[0] === section)
  return nearestLeaf(leaf, siblings) ?? nearestLeaf(leaf, configKeyNames)
}

function nearestLeaf(leaf: string, keys: readonly ConfigKey[]): string | undefined {
  const near = nearestName(
    leaf,
    keys.map((key) => splitKey(key)[1]),
  )
  return keys.find((key) => splitKey(key)[1] === near)
}

function nameOf(pair: Pair): string {
  if (!isScalar(pair.key)) return '(a key that is no text)'
  // Names are shown in messages: one line, and not a page of it.
  return String(pair.key.value).replaceAll(/\p{C}/gu, '?').slice(0, 64)
}

function offsetOf(pair: Pair): number {
  return rangeStart(pair.key) ?? 0
}

function rangeStart(node: unknown): number | undefined {
  const range =
    typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : undefined
}

/** Own words for what people really get wrong: the parser's quote the file, and so its secrets. */
const syntaxWords: Readonly<Record<string, string>> = {
  BAD_INDENT: 'the indentation is wrong here',
  TAB_AS_INDENT: 'a tab indents this line: use spaces',
  DUPLICATE_KEY: 'this key stands here a second time',
  MISSING_CHAR: 'a character is missing, such as a closing quote, a bracket or a colon',
  MULTIPLE_DOCS: 'a second document begins here: the file must hold one',
  UNEXPECTED_TOKEN: 'this is not expected here',
  BAD_SCALAR_START: 'a value cannot begin like this: put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a value with a colon must stand in quotes',
  MULTILINE_IMPLICIT_KEY: 'a colon is missing after the key, or a quote is not closed',
}
