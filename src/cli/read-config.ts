/** Loads the configuration from where this process really runs. */
import { readFile } from 'node:fs/promises'
import type { ConfigFlags } from '../config/config-layers.ts'
import type { LoadedConfig } from '../config/load-config.ts'

/** @throws ConfigError */
export async function readConfig(flags: ConfigFlags): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config/load-config.ts')
  return loadConfig({
    flags,
    env: process.env,
    readFile: (path) => readFile(path, 'utf8'),
    cwd: process.cwd(),
    terminal: process.stdout.isTTY === true,
  })
}
