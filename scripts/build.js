// Compiles src/ and commands/ into dist/, into a new folder that then takes dist's place: no file of
// an earlier build stays behind, and nothing that runs sees half a build. Skips the work when
// nothing has changed since (--force does it anyway).
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const stampFile = join(dist, '.sources')

const sources = fingerprint()
if (process.argv.includes('--force') || !isBuilt()) process.exitCode = build()
linkProgram()

function isBuilt() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === sources
}

function build() {
  const fresh = join(root, `.build-${process.pid}`)
  const old = `${fresh}-old`
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', fresh]
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (!existsSync(fresh)) return status || 1
  // The compiler writes its output despite type errors. It is usable while working on something
  // else, but it fails the build and is not stamped.
  if (status === 0) writeFileSync(join(fresh, '.sources'), sources)
  if (existsSync(dist)) renameSync(dist, old)
  renameSync(fresh, dist)
  rmSync(old, { recursive: true, force: true })
  return status ?? 1
}

// npx finds the program of the package it runs in only by installing it into its cache first; with a
// link among the installed programs it simply runs it.
function linkProgram() {
  const link = join(root, 'node_modules', '.bin', 'comio')
  if (process.platform !== 'win32' && !existsSync(link)) symlinkSync('../../bin/comio', link)
}

function fingerprint() {
  const hash = createHash('sha256')
  for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'src', 'commands']) {
    addTo(hash, name)
  }
  return hash.digest('hex')
}

function addTo(hash, path) {
  const stats = statSync(join(root, path))
  if (!stats.isDirectory()) return hash.update(`${path} ${stats.size} ${stats.mtimeMs}\n`)
  for (const name of readdirSync(join(root, path)).sort()) addTo(hash, `${path}/${name}`)
}
