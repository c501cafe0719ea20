/** Prints every violation of the house rules, one to a line, and fails if there is one. */
import { dirname } from 'node:path'
import { findFloatingPromises } from './tidy/floating-promises.ts'
import { houseRules } from './tidy/house-rules.ts'
import { readProject, type Violation } from './tidy/project.ts'

const root = dirname(import.meta.dirname)
const project = readProject(root)
for (const [rule, check] of Object.entries(houseRules)) report(rule, check(project))
report('floating-promises', findFloatingPromises(root))

function report(rule: string, violations: readonly Violation[]): void {
  for (const { path, line, message } of violations) {
    process.stdout.write(`${path}${line > 0 ? `:${line}` : ''}: ${message} [${rule}]\n`)
    process.exitCode = 1
  }
}
