/**
 * Below rank 5 and in the simulation nothing takes time, randomness, timers, the network or the
 * environment from its surroundings: one forgotten `Date.now()` and a run no longer follows from
 * its seed.
 */
import {
  type Check,
  isNode,
  isUnder,
  nameOf,
  type SourceFile,
  type SyntaxNode,
  textOf,
  type Violation,
  violationAt,
  walk,
} from './project.ts'

const pureFolders = ['base', 'device', 'volume', 'index', 'store', 's3', 'replication', 'sim']
const allowedFiles = ['src/base/clock.ts', 'src/base/random.ts']

const bannedMembers: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  performance: ['now', 'timeOrigin', 'mark', 'measure'],
  Math: ['random'],
  process: ['env', 'hrtime', 'uptime'],
  crypto: [
    'randomBytes',
    'randomUUID',
    'randomInt',
    'randomFill',
    'randomFillSync',
    'getRandomValues',
  ],
}
const bannedGlobals = new Set(['setTimeout', 'setInterval', 'setImmediate', 'fetch'])
const bannedModules = new Set(['timers', 'timers/promises', 'perf_hooks'])
const bannedImports: Readonly<Record<string, readonly string[]>> = {
  crypto: bannedMembers.crypto ?? [],
  process: bannedMembers.process ?? [],
}

export const checkAmbient: Check = (project) =>
  project.files
    .filter((file) => isUnder(file, ...pureFolders.map((folder) => `src/${folder}`)))
    .filter((file) => !allowedFiles.includes(file.path))
    .flatMap(checkFile)

function checkFile(file: SourceFile): Violation[] {
  const found: Violation[] = []
  const own = declaredNames(file.tree)
  walk(file.tree, (node, parent) => {
    const what = ambientUse(node, parent, own)
    if (what === undefined) return
    const message = `uses ${what}: pass in a Clock, a Random or whatever it is for`
    found.push(violationAt(file, node, message))
  })
  return found
}

function ambientUse(
  node: SyntaxNode,
  parent: SyntaxNode | undefined,
  own: ReadonlySet<string>,
): string | undefined {
  switch (node.type) {
    case 'MemberExpression':
      return ambientMember(node)
    case 'NewExpression':
      return nameOf(node.callee) === 'Date' && isEmpty(node.arguments) ? 'new Date()' : undefined
    case 'CallExpression':
      return nameOf(node.callee) === 'Date' ? 'Date()' : undefined
    case 'ImportDeclaration':
      return ambientImport(node)
    case 'Identifier':
      return ambientGlobal(node, parent, own)
    default:
      return undefined
  }
}

function ambientMember(node: SyntaxNode): string | undefined {
  const member = node.computed ? textOf(node.property) : nameOf(node.property)
  if (member === undefined) return undefined
  const object = objectName(node.object)
  if (object === 'globalThis' && bannedGlobals.has(member)) return `globalThis.${member}`
  return bannedMembers[object ?? '']?.includes(member) ? `${object}.${member}` : undefined
}

/** `Date` of `Date.now` and of `globalThis.Date.now` alike. */
function objectName(node: unknown): string | undefined {
  if (!isNode(node) || node.type !== 'MemberExpression') return nameOf(node)
  return nameOf(node.object) === 'globalThis' ? nameOf(node.property) : undefined
}

function ambientImport(node: SyntaxNode): string | undefined {
  const module = textOf(node.source)?.replace(/^node:/, '') ?? ''
  if (bannedModules.has(module)) return module
  const names = bannedImports[module] ?? []
  const specifiers = Array.isArray(node.specifiers) ? node.specifiers.filter(isNode) : []
  const name = specifiers.map((specifier) => nameOf(specifier.imported)).find(isIn(names))
  return name && `${name} of ${module}`
}

function isIn(names: readonly string[]): (name: string | undefined) => boolean {
  return (name) => name !== undefined && names.includes(name)
}

function ambientGlobal(
  node: SyntaxNode,
  parent: SyntaxNode | undefined,
  own: ReadonlySet<string>,
): string | undefined {
  const name = nameOf(node)
  if (name === undefined || !bannedGlobals.has(name) || own.has(name)) return undefined
  const isMemberName = parent?.type === 'MemberExpression' && parent.property === node
  const isKey = parent?.key === node || parent?.imported === node
  if ((isMemberName || isKey) && !parent?.computed) return undefined
  return name
}

/** What the file declares itself: a parameter called `fetch` is not the global one. */
function declaredNames(tree: SyntaxNode): ReadonlySet<string> {
  const names = new Set<string>()
  const add = (node: unknown): void => {
    const name = nameOf(node)
    if (name !== undefined) names.add(name)
  }
  walk(tree, (node) => {
    if (Array.isArray(node.params)) node.params.forEach(add)
    if (node.type === 'VariableDeclarator' || node.type === 'FunctionDeclaration') add(node.id)
    if (node.type === 'ImportSpecifier') add(node.local)
  })
  return names
}

function isEmpty(list: unknown): boolean {
  return Array.isArray(list) && list.length === 0
}
