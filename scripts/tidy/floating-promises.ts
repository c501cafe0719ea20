/**
 * Promises that nobody awaits. Biome finds those of our own functions but is blind to those that
 * come from `node:` modules and packages (`handle.sync()`, `level.open()`), the very ones that touch
 * the disk. This asks the compiler itself.
 */
import { relative } from 'node:path'
import { type Expression, type Node, type SourceFile, SyntaxKind } from 'typescript/unstable/ast'
import {
  isBinaryExpression,
  isCallExpression,
  isExpressionStatement,
  isParenthesizedExpression,
  isPropertyAccessExpression,
} from 'typescript/unstable/ast/is'
import {
  API,
  type Checker,
  type Project as CompilerProject,
  type Type,
} from 'typescript/unstable/sync'
import type { Violation } from './project.ts'

/** Looks at every file of the project that `<root>/tsconfig.json` describes. */
export function findFloatingPromises(root: string): readonly Violation[] {
  const api = new API({ cwd: root })
  try {
    const snapshot = api.updateSnapshot({ openProjects: [`${root}/tsconfig.json`] })
    return snapshot.getProjects().flatMap((project) => findInProject(project, root))
  } finally {
    api.close()
  }
}

function findInProject(
  { program, checker, rootFiles }: CompilerProject,
  root: string,
): Violation[] {
  return rootFiles.flatMap((path) => {
    const file = program.getSourceFile(path)
    if (file === undefined) throw new Error(`the compiler does not know ${path}`)
    const dropped = droppedExpressions(file)
    const types = dropped.length === 0 ? [] : checker.getTypeAtLocation(dropped)
    return dropped
      .filter((_, i) => isPromise(checker, types[i]))
      .map((expression) => ({
        path: relative(root, path),
        line: file.getLineAndCharacterOfPosition(expression.getStart(file)).line + 1,
        message: 'drops a promise: await it, handle its failure, or say void and why',
      }))
  })
}

/** The expressions whose value a statement throws away, but for those that deal with a promise. */
function droppedExpressions(file: SourceFile): readonly Expression[] {
  const found: Expression[] = []
  const visit = (node: Node): void => {
    if (isExpressionStatement(node) && !isHandled(node.expression)) found.push(node.expression)
    node.forEachChild(visit)
  }
  visit(file)
  return found
}

function isHandled(expression: Expression): boolean {
  if (isParenthesizedExpression(expression)) return isHandled(expression.expression)
  if (expression.kind === SyntaxKind.AwaitExpression) return true
  if (expression.kind === SyntaxKind.VoidExpression) return true
  if (isBinaryExpression(expression)) return isAssignment(expression.operatorToken.kind)
  if (!isCallExpression(expression)) return false
  return isPropertyAccessExpression(expression.expression)
    ? takesFailure(expression.expression.name.text, expression.arguments.length) ||
        (expression.expression.name.text === 'finally' &&
          isHandled(expression.expression.expression))
    : false
}

/** `.catch(handle)` and `.then(use, handle)`. */
function takesFailure(method: string, argumentCount: number): boolean {
  return (method === 'catch' && argumentCount > 0) || (method === 'then' && argumentCount > 1)
}

function isAssignment(operator: SyntaxKind): boolean {
  return operator >= SyntaxKind.FirstAssignment && operator <= SyntaxKind.LastAssignment
}

/** Fastify's replies have a `then` too, but nothing to catch: they are not meant here. */
function isPromise(checker: Checker, type: Type | undefined): boolean {
  if (type === undefined) return false
  if (type.isUnionType()) return type.getTypes().some((part) => isPromise(checker, part))
  return ['then', 'catch'].every((name) => checker.getPropertyOfType(type, name) !== undefined)
}
