/** The sources under one root folder, parsed: what every check of the house rules looks at. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { parseSync } from 'oxc-parser'

/** A node of the syntax tree; which further fields there are depends on `type` (ESTree). */
export interface SyntaxNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

export interface SourceFile {
  /** Relative to the root, with slashes: `src/volume/segment.ts`. */
  readonly path: string
  readonly text: string
  readonly tree: SyntaxNode
  readonly comments: readonly { readonly value: string; readonly start: number }[]
}

export interface Project {
  readonly root: string
  readonly files: readonly SourceFile[]
}

export interface Violation {
  readonly path: string
  /** 1-based; 0 where the whole file is meant. */
  readonly line: number
  readonly message: string
}

export type Check = (project: Project) => readonly Violation[]

const codeFolders = ['src', 'commands', 'scripts', 'test']
const codeExtensions = ['.ts', '.tsx', '.js', '.mjs', '.cjs']

/** Reads and parses what is in the code folders of `root`. Throws on a file that does not parse. */
export function readProject(root: string): Project {
  const paths = codeFolders.flatMap((folder) => listFiles(root, folder))
  const code = paths.filter((path) => codeExtensions.includes(extname(path)))
  return { root, files: code.map((path) => parseFile(root, path)) }
}

export function isUnder(file: SourceFile, ...folders: readonly string[]): boolean {
  return folders.some((folder) => file.path.startsWith(`${folder}/`))
}

export function lineAt(file: SourceFile, offset: number): number {
  let line = 1
  for (let at = file.text.indexOf('\n'); at !== -1 && at < offset; ) {
    line++
    at = file.text.indexOf('\n', at + 1)
  }
  return line
}

export function violationAt(file: SourceFile, node: SyntaxNode, message: string): Violation {
  return { path: file.path, line: lineAt(file, node.start), message }
}

/** Calls `visit` on `node` and everything in it, parents first. */
export function walk(node: SyntaxNode, visit: Visitor, parent?: SyntaxNode): void {
  visit(node, parent)
  for (const child of childrenOf(node)) walk(child, visit, node)
}
export type Visitor = (node: SyntaxNode, parent: SyntaxNode | undefined) => void

function childrenOf(node: SyntaxNode): readonly SyntaxNode[] {
  return Object.values(node).flat().filter(isNode)
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

/** The name of an identifier, undefined for every other node. */
export function nameOf(node: unknown): string | undefined {
  if (!isNode(node) || node.type !== 'Identifier') return undefined
  return typeof node.name === 'string' ? node.name : undefined
}

/** The text of a string literal, or of a template without placeholders. */
export function textOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined
  if (node.type === 'Literal' && typeof node.value === 'string') return node.value
  if (node.type !== 'TemplateLiteral') return undefined
  const [quasi, ...more] = childrenOf(node)
  const value = more.length === 0 ? quasi?.value : undefined
  return typeof value === 'object' && value !== null && 'cooked' in value
    ? String(value.cooked)
    : undefined
}

function listFiles(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  const entries = readdirSync(join(root, folder), { withFileTypes: true })
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`
      return entry.isDirectory() ? listFiles(root, path) : [path]
    })
}

function parseFile(root: string, path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8')
  const parsed = parseSync(path, text)
  const [error] = parsed.errors
  if (error !== undefined) throw new Error(`${path} does not parse: ${error.message}`)
  return { path, text, tree: parsed.program as unknown as SyntaxNode, comments: parsed.comments }
}
