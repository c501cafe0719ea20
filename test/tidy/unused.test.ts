import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { projectRoot, withFilesAndPackages } from './planted-project.ts'

const packageJson = {
  name: 'planted',
  type: 'module',
  dependencies: { yaml: '*', pino: '*' },
  devDependencies: { typescript: '*', vitest: '*' },
}

const files = {
  'package.json': JSON.stringify(packageJson),
  'knip.json': readFileSync(join(projectRoot, 'knip.json'), 'utf8'),
  'bin/comio': `import('../dist/src/cli/run.js')\n`,
  'src/cli/run.ts': `import 'yaml'\nimport 'fastify'\nimport { used } from '../base/a.ts'\nused()\n`,
  'src/base/a.ts':
    'export const used = () => 1\nexport const unused = 2\nexport const tested = 3\n',
  'src/base/orphan.ts': 'export const orphan = 1\n',
  'test/a.test.ts': `import { test } from 'vitest'\nimport { tested } from '../src/base/a.ts'\ntest('a', () => tested)\n`,
}

describe('knip with the configuration of this project', () => {
  it('reports unused files, exports and dependencies, and packages that are not listed', () => {
    const report = withFilesAndPackages(files, (root) => {
      const knip = join(projectRoot, 'node_modules/knip/bin/knip.js')
      const args = [knip, '--no-progress', '--reporter', 'symbols']
      const result = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
      expect(result.status).toBe(1)
      return result.stdout.split('\n').map((line) => line.trim().replace(/\s+/g, ' '))
    })
    expect(report).toContain('src/base/orphan.ts')
    expect(report).toContain('unused src/base/a.ts:2:14')
    expect(report).toContainEqual(expect.stringMatching(/^pino package\.json/))
    expect(report).toContainEqual(expect.stringMatching(/^fastify src\/cli\/run\.ts/))
    expect(report.join('\n')).not.toMatch(/yaml|tested|run\.ts$/m)
  })
})
