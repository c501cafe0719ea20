import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'oxc-parser'
import { describe, expect, it } from 'vitest'
import { projectRoot, withFiles } from './planted-project.ts'

const program = `
export async function runCli(argv, packageUrl) {
  const { UV_THREADPOOL_SIZE: threads, NODE_ENV: mode, MALLOC_ARENA_MAX: arenas } = process.env
  const { pid, execArgv: flags } = process
  process.stdout.write(JSON.stringify({ argv, packageUrl, threads, mode, arenas, flags, pid }))
  process.exitCode = 7
}`

const siteFlags = ['--max-semi-space-size=32', '--no-allocation-site-pretenuring']

describe('bin/comio', () => {
  it('says in one line which Node it needs when an older one runs it', () => {
    const files = { 'pretend.cjs': pretendVersion('18.19.1') }
    const { status, stdout, stderr } = run({ files, nodeArgs: ['--require', './pretend.cjs'] })
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^comio needs Node\.js 24 or newer, and this is 18\.19\.1 .*nvm.*\n$/)
  })

  it('is readable by a Node that knows nothing newer than dynamic imports', () => {
    const text = readFileSync(join(projectRoot, 'bin', 'comio'), 'utf8')
    expect(text).toMatch(/^#!\/usr\/bin\/env node\n/)
    const parsed = parseSync('comio.cjs', text, { sourceType: 'commonjs' })
    expect(parsed.errors).toEqual([])
    expect(text).not.toMatch(/=>|`[^`']*\$\{|\?\.|\?\?|\b(const|let|class|async|await)\b/)
  })

  it('says in one line that it has not been built', () => {
    const { status, stderr } = run({ isBuilt: false })
    expect(status).toBe(2)
    expect(stderr).toMatch(/^comio has not been built yet: run `npm run build` in .*\n$/)
  })

  it('runs the program in its own process, with a larger thread pool, and keeps its exit code', () => {
    const { status, stdout, pid } = run({ args: ['repl', 'status', '--json'] })
    const seen: unknown = JSON.parse(stdout)
    expect(status).toBe(7)
    expect(seen).toMatchObject({ argv: ['repl', 'status', '--json'], threads: '16', pid })
    expect(seen).toMatchObject({
      flags: [],
      mode: 'production',
      packageUrl: expect.stringMatching(/^file:.*\/package\.json$/),
    })
  })

  it('leaves a thread pool size that was asked for', () => {
    const { stdout } = run({ env: { UV_THREADPOOL_SIZE: '4' } })
    expect(JSON.parse(stdout)).toMatchObject({ threads: '4' })
  })

  it('runs a site with bounds on what V8 and malloc keep, in the same process', () => {
    const argv = ['server', '--storage', 'a folder']
    const { status, stdout, stderr, pid } = run({ args: argv, nodeArgs: ['--no-deprecation'] })
    expect({ status, stderr }).toEqual({ status: 7, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ argv, pid, threads: '16', arenas: '4' })
    expect(JSON.parse(stdout)).toMatchObject({ flags: ['--no-deprecation', ...siteFlags] })
  })

  it('leaves bounds for a site that were asked for', () => {
    const env = { NODE_OPTIONS: '--max-semi-space-size=24', MALLOC_ARENA_MAX: '8' }
    const nodeArgs = ['--allocation_site_pretenuring']
    const { stdout } = run({ args: ['server'], env, nodeArgs })
    expect(JSON.parse(stdout)).toMatchObject({ flags: nodeArgs, arenas: '8' })
  })
})

interface RunOptions {
  readonly args?: readonly string[]
  readonly nodeArgs?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
  readonly isBuilt?: boolean
}

/** Runs a copy of bin/comio beside a program that reports what it was given. */
function run({ args = [], nodeArgs = [], env = {}, files = {}, isBuilt = true }: RunOptions) {
  return withFiles({ 'package.json': '{"type":"module"}', ...files }, (root) => {
    mkdirSync(join(root, 'bin'))
    for (const name of ['comio', 'package.json']) {
      copyFileSync(join(projectRoot, 'bin', name), join(root, 'bin', name))
    }
    if (isBuilt) {
      mkdirSync(join(root, 'dist/src/cli'), { recursive: true })
      writeFileSync(join(root, 'dist/src/cli/run.js'), program)
    }
    const { PATH = '' } = process.env
    return spawnSync(process.execPath, [...nodeArgs, join(root, 'bin', 'comio'), ...args], {
      cwd: root,
      env: { PATH, ...env },
      encoding: 'utf8',
    })
  })
}

function pretendVersion(version: string): string {
  return `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
}
