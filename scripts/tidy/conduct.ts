/** Who may end the process, who may print, what files may be called, what must not be left behind. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import {
  type Check,
  isUnder,
  lineAt,
  nameOf,
  type SourceFile,
  textOf,
  type Violation,
  violationAt,
  walk,
} from './project.ts'

const outputModules = /^(node:)?console$/

/** `process.exit` only in bin/ and src/cli: elsewhere it takes the decision, and the flush, from others. */
export const checkExits: Check = (project) =>
  ownCode(project.files)
    .filter((file) => !isUnder(file, 'src/cli'))
    .flatMap((file) => memberUses(file, 'process', (name) => name === 'exit' || name === 'abort'))

/** `console` only where results are printed: src/cli and commands. */
export const checkConsole: Check = (project) =>
  ownCode(project.files)
    .filter((file) => !isUnder(file, 'src/cli', 'commands'))
    .flatMap((file) => [...memberUses(file, 'console', () => true), ...consoleImports(file)])

const vagueNames = ['index', 'utils', 'util', 'types', 'helpers', 'helper', 'common', 'constants']

/** A file has the name of what it exports, in kebab-case; the vague names collect everything. */
export const checkFileNames: Check = (project) =>
  project.files.flatMap((file) => {
    const stem = basename(file.path).replace(/(\.test)?\.\w+$/, '')
    if (vagueNames.includes(stem)) {
      return [{ path: file.path, line: 0, message: `is called ${stem}, which says nothing` }]
    }
    const isKebab = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/.test(stem)
    return isKebab ? [] : [{ path: file.path, line: 0, message: 'is not named in kebab-case' }]
  })

/** Work put off belongs into an issue, and a focused test switches all others off. */
export const checkLeftovers: Check = (project) =>
  project.files.flatMap((file) => [...deferredWork(file), ...focusedTests(file)])

const commandLinesMax = 60
const heavyPackages = /^(ink|react)(\/|$)/

/** A command parses, calls one function and prints; what is heavy loads when it runs. */
export const checkCommands: Check = (project) =>
  project.files
    .filter((file) => isUnder(file, 'commands'))
    .flatMap((file) => [...commandSize(file), ...heavyImports(file), ...otherExports(file)])

/** Every error code is unique and explained in man/comio-errors.7. */
export const checkErrorCodes: Check = (project) => {
  const manual = join(project.root, 'man', 'comio-errors.7')
  const explained = existsSync(manual) ? wordsOf(readFileSync(manual, 'utf8')) : new Set<string>()
  const seen = new Map<string, string>()
  return project.files
    .filter((file) => isUnder(file, 'src'))
    .flatMap(errorCodes)
    .flatMap(({ code, path, line }) => {
      const other = seen.get(code)
      seen.set(code, path)
      const found: Violation[] = []
      if (other !== undefined) found.push({ path, line, message: `${code} is also in ${other}` })
      if (!/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/.test(code)) {
        found.push({ path, line, message: `${code} is not in SCREAMING_SNAKE_CASE` })
      }
      if (!explained.has(code)) {
        found.push({ path, line, message: `${code} is not in man/comio-errors.7` })
      }
      return found
    })
}

function ownCode(files: readonly SourceFile[]): readonly SourceFile[] {
  return files.filter((file) => isUnder(file, 'src', 'commands'))
}

function memberUses(
  file: SourceFile,
  object: string,
  isBanned: (member: string) => boolean,
): Violation[] {
  const found: Violation[] = []
  walk(file.tree, (node) => {
    if (node.type !== 'MemberExpression' || nameOf(node.object) !== object) return
    const member = (node.computed ? textOf(node.property) : nameOf(node.property)) ?? ''
    if (isBanned(member)) found.push(violationAt(file, node, `uses ${object}.${member}`))
  })
  return found
}

function consoleImports(file: SourceFile): Violation[] {
  return importedPackages(file)
    .filter(({ name }) => outputModules.test(name))
    .map(({ line }) => ({ path: file.path, line, message: 'imports node:console' }))
}

function deferredWork(file: SourceFile): Violation[] {
  return file.comments
    .filter((comment) => /\b(TODO|FIXME|XXX|HACK)\b/.test(comment.value))
    .map((comment) => ({
      path: file.path,
      line: lineAt(file, comment.start),
      message: 'puts work off: do it or open an issue',
    }))
}

function focusedTests(file: SourceFile): Violation[] {
  if (!isUnder(file, 'test')) return []
  return ['it', 'test', 'describe'].flatMap((object) =>
    memberUses(file, object, (member) => member === 'only'),
  )
}

function commandSize(file: SourceFile): Violation[] {
  const lines = file.text.trimEnd().split('\n').length
  if (lines <= commandLinesMax) return []
  const message = `has ${lines} lines, a command has at most ${commandLinesMax}`
  return [{ path: file.path, line: 0, message }]
}

function heavyImports(file: SourceFile): Violation[] {
  return importedPackages(file)
    .filter(({ name }) => heavyPackages.test(name))
    .map(({ name, line }) => ({ path: file.path, line, message: `imports ${name} at its top` }))
}

/** A command file exports its command, as default, and nothing else. */
function otherExports(file: SourceFile): Violation[] {
  const found: Violation[] = []
  let hasDefault = false
  walk(file.tree, (node) => {
    if (node.type === 'ExportDefaultDeclaration') hasDefault = true
    else if (/^Export(Named|All)Declaration$/.test(node.type)) {
      found.push(violationAt(file, node, 'exports more than its command'))
    }
  })
  if (!hasDefault) found.push({ path: file.path, line: 0, message: 'exports no command' })
  return found
}

function importedPackages(file: SourceFile): { name: string; line: number }[] {
  const found: { name: string; line: number }[] = []
  walk(file.tree, (node) => {
    if (node.type !== 'ImportDeclaration' || node.importKind === 'type') return
    found.push({ name: textOf(node.source) ?? '', line: lineAt(file, node.start) })
  })
  return found
}

function errorCodes(file: SourceFile): { code: string; path: string; line: number }[] {
  const found: { code: string; path: string; line: number }[] = []
  walk(file.tree, (node) => {
    if (node.type !== 'PropertyDefinition' || nameOf(node.key) !== 'code' || !node.readonly) return
    const code = textOf(node.value)
    if (code !== undefined) found.push({ code, path: file.path, line: lineAt(file, node.start) })
  })
  return found
}

function wordsOf(roff: string): ReadonlySet<string> {
  return new Set(roff.replaceAll('\\_', '_').match(/[A-Z][A-Z0-9_]+/g))
}
