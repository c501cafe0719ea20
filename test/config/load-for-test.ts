import { ConfigError, formatProblem } from '../../src/config/errors.ts'
import { type LoadedConfig, loadConfig } from '../../src/config/load-config.ts'

export interface TestInput {
  readonly flags?: Record<string, string | boolean | string[]>
  readonly env?: Record<string, string>
  /** The text of config.yaml. */
  readonly file?: string
  readonly files?: Record<string, string>
  readonly terminal?: boolean
}

/** Loads a configuration from `input` alone, as if run in /site. */
export function loadFrom(input: TestInput): Promise<LoadedConfig> {
  const files: Record<string, string> = { ...input.files }
  if (input.file !== undefined) files['/site/config.yaml'] = input.file
  return loadConfig({
    flags: input.flags ?? {},
    env: input.env ?? {},
    cwd: '/site',
    terminal: input.terminal ?? false,
    readFile: async (path) => {
      const text = files[path]
      if (text !== undefined) return text
      throw Object.assign(new Error(`no such file: ${path}`), { code: 'ENOENT' })
    },
  })
}

/** The problems, one line each, of a configuration that must be refused. */
export async function refusalOf(input: TestInput): Promise<readonly string[]> {
  const error = await loadFrom(input).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ConfigError)) {
    throw new Error(`the configuration was not refused: ${String(error)}`)
  }
  return error.problems.map(formatProblem)
}

export const longToken = 'a'.repeat(64)
