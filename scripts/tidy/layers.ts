/**
 * The layers: an import points to a lower rank, never sideways, never up, and no imports form a
 * circle, neither of files nor of a layer's folders. Types count like values, since a type also makes
 * one file know another.
 */
import { posix } from 'node:path'
import {
  type Check,
  isUnder,
  type Project,
  type SourceFile,
  type SyntaxNode,
  textOf,
  type Violation,
  violationAt,
  walk,
} from './project.ts'

const ranks: Readonly<Record<string, number>> = {
  base: 0,
  device: 1,
  volume: 2,
  index: 2,
  store: 3,
  s3: 4,
  replication: 4,
  admin: 5,
  config: 5,
  server: 6,
  cli: 7,
  tui: 7,
  bench: 7,
  demo: 7,
  commands: 8,
}

/** The simulation drives the engine and is driven by tests: it sees ranks 0 to 4, none sees it. */
const simRankMax = 4

/** It loads the command that was asked for by its path, so that no other one is loaded. */
const commandLoader = 'src/cli/run.ts'

interface Import {
  readonly from: SourceFile
  readonly node: SyntaxNode
  /** Path of the imported file relative to the root, undefined for a package or a computed path. */
  readonly target: string | undefined
  readonly isComputed: boolean
}

export const checkLayers: Check = (project) => {
  const imports = project.files
    .filter((file) => isUnder(file, 'src', 'commands'))
    .flatMap((file) => importsOf(file))
  return [
    ...strangers(project),
    ...imports.flatMap(checkImport),
    ...findCycles(imports, (path) => path).map(circle),
    // Files alone are told of above.
    ...findCycles(imports.filter(leavesFolder), folderOf)
      .filter((nodes) => !nodes.every(isFile))
      .map(circle),
  ]
}

/** Every import of `file`, in whatever form. */
export function importsOf(file: SourceFile): readonly Import[] {
  const imports: Import[] = []
  walk(file.tree, (node) => {
    if (!importingNodes.has(node.type) || node.source === null) return
    const specifier = textOf(node.source ?? node.expression)
    const isRelative = specifier?.startsWith('.')
    const target = isRelative ? posix.join(posix.dirname(file.path), specifier ?? '') : undefined
    imports.push({ from: file, node, target, isComputed: specifier === undefined })
  })
  return imports
}

const importingNodes = new Set([
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
  'TSImportType',
  'TSExternalModuleReference',
])

function strangers(project: Project): Violation[] {
  return project.files
    .filter((file) => isUnder(file, 'src') && layerOf(file.path) === undefined)
    .map((file) => ({
      path: file.path,
      line: 0,
      message: 'is in no layer of scripts/tidy/layers.ts',
    }))
}

function checkImport({ from, node, target, isComputed }: Import): Violation[] {
  if (isComputed) {
    if (from.path === commandLoader) return []
    return [violationAt(from, node, 'imports a computed path, which nobody can check')]
  }
  if (target === undefined || target === 'package.json') return []
  const importer = layerOf(from.path)
  const imported = layerOf(target)
  if (importer === undefined) return []
  if (imported === undefined) {
    return [violationAt(from, node, `imports ${target}, which is in no layer`)]
  }
  if (maySee(importer, imported)) return []
  const reason = `${importer} (${rankText(importer)}) may not import ${imported} (${rankText(imported)})`
  return [violationAt(from, node, `${reason}: ${target}`)]
}

function maySee(importer: string, imported: string): boolean {
  if (importer === imported) return importer !== 'commands'
  if (imported === 'sim') return false
  const importedRank = ranks[imported] ?? Number.POSITIVE_INFINITY
  if (importer === 'sim') return importedRank <= simRankMax
  return importedRank < (ranks[importer] ?? -1)
}

function rankText(layer: string): string {
  return layer === 'sim' ? 'beside the ranks' : `rank ${ranks[layer]}`
}

function layerOf(path: string): string | undefined {
  const [top = '', folder = '', ...rest] = path.split('/')
  if (top === 'commands') return 'commands'
  if (top !== 'src' || rest.length === 0) return undefined
  return folder in ranks || folder === 'sim' ? folder : undefined
}

function leavesFolder({ from, target }: Import): boolean {
  return target !== undefined && folderOf(from.path) !== folderOf(target)
}

/**
 * A folder inside a layer is one; a file directly in the layer stands for itself: it puts the folders
 * together, or all of them know it.
 */
function folderOf(path: string): string {
  return path.split('/').slice(0, 3).join('/')
}

function isFile(node: string): boolean {
  return node.endsWith('.ts') || node.endsWith('.tsx')
}

function circle(nodes: readonly string[]): Violation {
  const message = `is in a circle of imports: ${nodes.join(', ')}`
  return { path: nodes[0] ?? '', line: 0, message }
}

/** Each group of files, or of folders, that reach each other (Tarjan's algorithm). */
function findCycles(imports: readonly Import[], nodeOf: (path: string) => string): string[][] {
  const edges = new Map<string, Set<string>>()
  for (const { from, target } of imports) {
    const node = nodeOf(from.path)
    const targets = edges.get(node) ?? new Set()
    if (target !== undefined) targets.add(nodeOf(target))
    edges.set(node, targets)
  }
  return new CycleSearch(edges).run()
}

class CycleSearch {
  readonly #edges: ReadonlyMap<string, ReadonlySet<string>>
  readonly #order = new Map<string, number>()
  readonly #lowest = new Map<string, number>()
  readonly #stack: string[] = []
  readonly #cycles: string[][] = []

  constructor(edges: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#edges = edges
  }

  run(): string[][] {
    for (const path of this.#edges.keys()) if (!this.#order.has(path)) this.#visit(path)
    return this.#cycles
  }

  #visit(path: string): void {
    const order = this.#order.size
    this.#order.set(path, order)
    this.#lowest.set(path, order)
    this.#stack.push(path)
    for (const next of this.#edges.get(path) ?? []) this.#follow(path, next)
    if (this.#lowest.get(path) === order) this.#close(path)
  }

  #follow(path: string, next: string): void {
    if (!this.#order.has(next)) this.#visit(next)
    if (!this.#stack.includes(next)) return
    const lowest = Math.min(this.#lowest.get(path) ?? 0, this.#lowest.get(next) ?? 0)
    this.#lowest.set(path, lowest)
  }

  #close(path: string): void {
    const group = this.#stack.splice(this.#stack.indexOf(path))
    const importsItself = this.#edges.get(path)?.has(path) ?? false
    if (group.length > 1 || importsItself) this.#cycles.push(group.sort())
  }
}
