// Makes a checkout ready: installs what is missing, then builds. It runs before anything is
// installed, under whatever Node the machine has, so it is plain JavaScript without dependencies.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stampFile = join(root, 'node_modules', '.comio-setup')
const pinnedNode = join(root, 'node_modules', 'node', 'bin', 'node')

installWhatIsMissing()
if (!process.argv.includes('--no-build')) {
  run(existsSync(pinnedNode) ? pinnedNode : process.execPath, [join(root, 'scripts', 'build.js')])
}

function installWhatIsMissing() {
  const wanted = fingerprint()
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return
  process.stderr.write('installing packages ...\n')
  // Old versions of npm rewrite the lock in their own manner; --no-save leaves it as committed.
  const args = ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']
  const npmScript = process.env.npm_execpath
  if (npmScript?.endsWith('.js')) run(process.execPath, [npmScript, ...args])
  else run('npm', args)
  writeFileSync(stampFile, wanted)
}

function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`)
  for (const name of ['package.json', 'package-lock.json']) {
    hash.update(readFileSync(join(root, name)))
  }
  return hash.digest('hex')
}

function run(command, args) {
  const isWindowsShim = process.platform === 'win32' && command === 'npm'
  const result = spawnSync(command, args, {
    cwd: root,
    // The results of the command that follows belong on stdout, the noise of getting there does not.
    stdio: ['ignore', 2, 2],
    shell: isWindowsShim,
  })
  if (result.error) process.stderr.write(`${command} cannot be run: ${result.error.message}\n`)
  if (result.status !== 0) process.exit(result.status ?? 1)
}
