/** `comio config validate` as a document. */

import type { ConfigFlags } from '../config/config-layers.ts'
import { ConfigError } from '../config/errors.ts'
import { describeSource } from '../config/value-source.ts'
import { readConfig } from './read-config.ts'

export interface ConfigVerdict {
  readonly valid: boolean
  readonly problems: readonly ProblemDocument[]
  readonly warnings: readonly string[]
}

interface ProblemDocument {
  /** Empty when no key is at fault, but the file as a whole. */
  readonly key: string
  readonly source: string
  readonly message: string
}

export async function judgeConfig(flags: ConfigFlags): Promise<ConfigVerdict> {
  try {
    const { warnings } = await readConfig(flags)
    return { valid: true, problems: [], warnings }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const problems = error.problems.map(({ key, source, sentence }) => {
      return { key, source: describeSource(source), message: sentence }
    })
    return { valid: false, problems, warnings: [] }
  }
}
