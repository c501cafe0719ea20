import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url))

interface LoadedFlag {
  readonly type: 'boolean' | 'option'
  readonly summary?: string
  readonly allowNo?: boolean
  readonly default?: unknown
}

export interface LoadedCommand {
  /** `repl status` */
  readonly name: string
  readonly path: string
  readonly summary: string | undefined
  readonly description: string | undefined
  readonly examples: readonly unknown[] | undefined
  readonly flags: Readonly<Record<string, LoadedFlag>>
}

/** Every command there is, from the files in commands/. */
export async function loadCommands(): Promise<readonly LoadedCommand[]> {
  const folder = join(projectRoot, 'commands')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
  return Promise.all(
    files.map(async (file) => {
      const path = join(folder, file)
      const { default: command } = (await import(path)) as { default: Omit<LoadedCommand, 'name'> }
      const { summary, description, examples, flags } = command
      const name = file.replace(/\.ts$/, '').replaceAll('/', ' ')
      return { name, path, summary, description, examples, flags }
    }),
  )
}
