/**
 * What is long is read by nobody: limits on functions, files and parameters. What exceeds one is
 * listed in allowed-sizes.ts with its size; the list may shrink, and each entry with it.
 */
import { allowedSizes } from './allowed-sizes.ts'
import {
  type Check,
  isNode,
  isUnder,
  lineAt,
  nameOf,
  type SourceFile,
  type SyntaxNode,
  type Violation,
  walk,
} from './project.ts'

const functionLinesMax = 70
const fileLinesMax = 500
const parametersMax = 3

interface Size {
  /** `src/x.ts` for a file, `src/x.ts:name` for a function. */
  readonly subject: string
  readonly path: string
  readonly line: number
  readonly size: number
  readonly limit: number
  readonly unit: 'lines' | 'parameters'
}

export const checkSizes: Check = (project) => findOversizes(project, allowedSizes)

/** `allowed` maps `unit subject` to a size: `'lines src/x.ts': 620`. */
export function findOversizes(
  project: Parameters<Check>[0],
  allowed: Readonly<Record<string, number>>,
): readonly Violation[] {
  const excesses = project.files.flatMap(sizesOf).filter(({ size, limit }) => size > limit)
  const found = excesses.flatMap((excess) => judge(excess, allowed[keyOf(excess)]))
  const keys = new Set(excesses.map(keyOf))
  const stale = Object.keys(allowed).filter((key) => !keys.has(key))
  return [
    ...found,
    ...stale.map((key) => ({
      path: 'scripts/tidy/allowed-sizes.ts',
      line: 0,
      message: `lists ${key}, which is within the limit by now: remove it`,
    })),
  ]
}

function judge(excess: Size, allowed: number | undefined): Violation[] {
  const { path, line, subject, size, unit } = excess
  if (size === allowed) return []
  const found = `${subject} has ${size} ${unit}`
  if (allowed === undefined || size > allowed) {
    return [{ path, line, message: `${found}, at most ${allowed ?? excess.limit} are allowed` }]
  }
  const message = `${found} by now: lower '${keyOf(excess)}' in scripts/tidy/allowed-sizes.ts`
  return [{ path, line, message }]
}

function keyOf({ unit, subject }: Size): string {
  return `${unit} ${subject}`
}

function sizesOf(file: SourceFile): Size[] {
  const lines = file.text.trimEnd().split('\n').length
  const { path } = file
  const sizes: Size[] = [
    { subject: path, path, line: 0, size: lines, limit: fileLinesMax, unit: 'lines' },
  ]
  // The callbacks of `describe` hold whole suites, so that functions in tests have no limit.
  if (!isUnder(file, 'test')) sizes.push(...functionSizes(file))
  return sizes
}

function functionSizes(file: SourceFile): Size[] {
  const sizes: Size[] = []
  walk(file.tree, (node, parent) => {
    const parameters = parametersOf(node)
    if (parameters === undefined) return
    const line = lineAt(file, node.start)
    const subject = `${file.path}:${functionName(node, parent)}`
    const common = { subject, path: file.path, line }
    const lines = lineAt(file, node.end) - line + 1
    sizes.push({ ...common, size: lines, limit: functionLinesMax, unit: 'lines' })
    if (isCallback(parent)) return
    sizes.push({ ...common, size: parameters.length, limit: parametersMax, unit: 'parameters' })
  })
  return sizes
}

/** What is passed to a function has the parameters which that one dictates. */
function isCallback(parent: SyntaxNode | undefined): boolean {
  return parent?.type === 'CallExpression' || parent?.type === 'NewExpression'
}

/** The positional parameters of anything that is or describes a function. */
function parametersOf(node: SyntaxNode): readonly SyntaxNode[] | undefined {
  if (!Array.isArray(node.params)) return undefined
  // Type parameters (`<A, B>`) and type arguments also sit in a list called params.
  if (node.type.startsWith('TSTypeParameter')) return undefined
  return node.params.filter(isNode).filter((parameter) => nameOf(parameter) !== 'this')
}

function functionName(node: SyntaxNode, parent: SyntaxNode | undefined): string {
  const named = [node.id, node.key, parent?.key, parent?.id]
  for (const name of named) {
    if (!isNode(name)) continue
    if (name.type === 'PrivateIdentifier' && typeof name.name === 'string') return `#${name.name}`
    const text = nameOf(name)
    if (text !== undefined) return text
  }
  return 'anonymous'
}
