/** The configuration's own error. */
import { ComioError } from '../base/errors.ts'
import { describeSource, type ValueSource } from './value-source.ts'

/** One thing that is wrong, in words that hold no secret. */
export interface ConfigProblem {
  /** `server.port`, `auth.tokens[1].role`; empty when no key is at fault. */
  readonly key: string
  readonly source: ValueSource
  /** What is wrong and what would be right, beginning with the key. */
  readonly sentence: string
}

/** `config.yaml:3: server.port is "x", but must be ...`: one line. */
export function formatProblem(problem: ConfigProblem): string {
  const { source, sentence } = problem
  return source.kind === 'default' ? sentence : `${describeSource(source)}: ${sentence}`
}

/** Everything that is wrong with the configuration, at once. */
export class ConfigError extends ComioError {
  readonly code = 'CONFIG_INVALID'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map(formatProblem)
    const message =
      lines.length === 1
        ? (lines[0] ?? '')
        : `${lines.length} problems in the configuration\n${lines.map((line) => `  ${line}`).join('\n')}`
    super(message, {
      hint: 'The manual page comio-config(1) lists every key with its flag and its default.',
    })
    this.problems = problems
  }
}
