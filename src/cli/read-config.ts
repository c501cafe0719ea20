/** Loads the configuration from where this process really runs. */
import { open } from 'node:fs/promises'
import type { ConfigFlags } from '../config/config-layers.ts'
import type { LoadedConfig } from '../config/load-config.ts'

/** A configuration, or a token, is small; a path that leads to a device or a log by mistake is not. */
const fileBytesMax = 2 ** 20

/** @throws ConfigError */
export async function readConfig(flags: ConfigFlags): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config/load-config.ts')
  return loadConfig({
    flags,
    env: process.env,
    readFile,
    cwd: process.cwd(),
    terminal: process.stdout.isTTY === true,
  })
}

/** @throws Error when it cannot be read, or holds more than any such file does */
async function readFile(path: string): Promise<string> {
  const file = await open(path)
  try {
    const buffer = Buffer.alloc(fileBytesMax + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length)
      length += bytesRead
      if (length > fileBytesMax) throw new Error('it holds more than 1 MiB')
      if (bytesRead === 0) return buffer.toString('utf8', 0, length)
    }
  } finally {
    await file.close()
  }
}
