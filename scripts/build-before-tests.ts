/** Tests that start `bin/comio` run what is in dist/, so it has to be what is in src/. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

// Runs as a vitest global setup, which wants a function by this name.
export function setup(): void {
  const script = fileURLToPath(new URL('./build.js', import.meta.url))
  const { status } = spawnSync(process.execPath, [script], { stdio: 'inherit' })
  if (status !== 0) process.stderr.write('the build has errors; the tests run what it gave\n')
}
