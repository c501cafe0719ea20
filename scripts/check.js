// Runs the checks that need no test runner, all of them or those named: `npm run check -- types`.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const script = (path) => join(root, path)

const checks = {
  lint: [script('node_modules/@biomejs/biome/bin/biome'), 'check', '--error-on-warnings'],
  types: [script('node_modules/typescript/bin/tsc'), '-p', root],
  tidy: [script('scripts/check-tidy.ts')],
  unused: [script('node_modules/knip/bin/knip.js'), '--no-progress'],
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in checks))
if (unknown.length > 0) {
  process.stderr.write(
    `no check is called ${unknown.join(', ')}: ${Object.keys(checks).join(', ')}\n`,
  )
  process.exit(2)
}

const failed = (asked.length > 0 ? asked : Object.keys(checks)).filter((name) => !passes(name))
if (failed.length > 0) process.stderr.write(`failed: ${failed.join(', ')}\n`)
process.exitCode = failed.length > 0 ? 1 : 0

function passes(name) {
  const start = performance.now()
  const { status } = spawnSync(process.execPath, checks[name], { cwd: root, stdio: 'inherit' })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stderr.write(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`)
  return status === 0
}
