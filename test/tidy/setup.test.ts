import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { projectRoot, withFiles, withFilesAndPackages } from './planted-project.ts'

const real = (path: string) => readFileSync(join(projectRoot, path), 'utf8')

describe('scripts/setup.js', () => {
  const files = {
    'package.json': '{"type":"module"}',
    'package-lock.json': '{}',
    'scripts/setup.js': real('scripts/setup.js'),
    'fake/npm':
      '#!/bin/sh\nmkdir -p node_modules\necho "$@" >> calls\n[ -z "$STATUS" ] || exit "$STATUS"\n',
  }

  it('installs once, and again when the lock has changed', () => {
    withFiles(files, (root) => {
      expect(setUp(root).status).toBe(0)
      expect(setUp(root).stderr).toBe('')
      expect(callsOf(root)).toEqual([expect.stringMatching(/^install --no-save /)])
      writeFileSync(join(root, 'package-lock.json'), '{"changed":true}')
      expect(setUp(root).status).toBe(0)
      expect(callsOf(root)).toHaveLength(2)
    })
  })

  it('tries again after an installation that failed, and hands its exit code on', () => {
    withFiles(files, (root) => {
      expect(setUp(root, { STATUS: '5' }).status).toBe(5)
      expect(setUp(root).status).toBe(0)
      expect(callsOf(root)).toHaveLength(2)
    })
  })

  it('leaves stdout to the command that follows', () => {
    withFiles(files, (root) => expect(setUp(root).stdout).toBe(''))
  })

  function setUp(root: string, env: Readonly<Record<string, string>> = {}) {
    chmodSync(join(root, 'fake/npm'), 0o755)
    const path = [join(root, 'fake'), dirname(process.execPath), process.env.PATH].join(delimiter)
    const args = [join(root, 'scripts/setup.js'), '--no-build']
    return spawnSync(process.execPath, args, { encoding: 'utf8', env: { PATH: path, ...env } })
  }

  function callsOf(root: string): readonly string[] {
    return readFileSync(join(root, 'calls'), 'utf8').trim().split('\n')
  }
})

describe('scripts/build.js', () => {
  const files = {
    'package.json': '{"type":"module"}',
    'tsconfig.json': real('tsconfig.json'),
    'tsconfig.build.json': real('tsconfig.build.json'),
    'scripts/build.js': real('scripts/build.js').replace('linkProgram()\n', ''),
    'src/a.ts': `import { b } from './b.ts'\nexport const a = b\n`,
    'src/b.ts': 'export const b = 1\n',
    'src/sim/c.ts': 'export const c = 1\n',
    'commands/d.ts': `import { a } from '../src/a.ts'\nexport default a\n`,
  }

  it('compiles what has changed, without the remains of earlier builds, and fails on type errors', () => {
    withFilesAndPackages(files, (root) => {
      expect(build(root)).toBe(0)
      expect(outputs(root)).toEqual(['commands/d.js', 'src/a.js', 'src/b.js'])
      expect(readFileSync(join(root, 'dist/src/a.js'), 'utf8')).toContain(`from './b.js'`)
      const built = statSync(join(root, 'dist')).ino

      expect(build(root)).toBe(0)
      expect(statSync(join(root, 'dist')).ino).toBe(built)

      rmSync(join(root, 'commands/d.ts'))
      expect(build(root)).toBe(0)
      expect(outputs(root)).toEqual(['src/a.js', 'src/b.js'])

      appendFileSync(join(root, 'src/b.ts'), 'export const n: number = "text"\n')
      expect(build(root)).not.toBe(0)
      expect(build(root)).not.toBe(0)
      expect(existsSync(join(root, 'dist/src/a.js'))).toBe(true)
      expect(readdirSync(root).filter((name) => name.startsWith('.build'))).toEqual([])
    })
  })

  function build(root: string): number | null {
    return spawnSync(process.execPath, [join(root, 'scripts/build.js')]).status
  }

  function outputs(root: string): readonly string[] {
    const names = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })
    return names.filter((name) => name.endsWith('.js')).sort()
  }
})
