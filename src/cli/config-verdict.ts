/** `comio config validate`: the configuration, and the files that it names. */
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

/** What deserves a warning, a line each. @throws ConfigError */
export async function validateConfig(flags: ConfigFlags): Promise<readonly string[]> {
  const { config, settings, warnings } = await readConfig(flags)
  const { checkPemFiles } = await import('../server/credentials/check-pem-files.ts')
  const findings = (await checkPemFiles(config, Date.now())).map((finding) => {
    const set = settings.find((setting) => setting.key === finding.key)
    return { ...finding, source: set?.source ?? ({ kind: 'default' } as const) }
  })
  const problems = findings.filter(({ isWarning }) => !isWarning)
  if (problems.length > 0) throw new ConfigError(problems)
  return [
    ...warnings,
    ...findings.map(({ source, sentence }) => `${describeSource(source)}: ${sentence}`),
  ]
}

export async function judgeConfig(flags: ConfigFlags): Promise<ConfigVerdict> {
  try {
    return { valid: true, problems: [], warnings: await validateConfig(flags) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const problems = error.problems.map(({ key, source, sentence }) => {
      return { key, source: describeSource(source), message: sentence }
    })
    return { valid: false, problems, warnings: [] }
  }
}
