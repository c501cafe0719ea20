import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findFloatingPromises } from '../../scripts/tidy/floating-promises.ts'
import { projectRoot, withFilesAndPackages } from './planted-project.ts'

const planted = `import { readFile } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
interface Device {
  sync(): Promise<void>
}
type Kind = 'put' | 'del' | 'purge'
export async function use(device: Device | undefined, kind: Kind): Promise<number> {
  device?.sync()
  readFile('a')
  new ClassicLevel('a').open()
  readFile('b').then(() => undefined)
  readFile('b').finally(() => undefined)
  await readFile('c')
  void readFile('d')
  readFile('e').catch(() => undefined)
  readFile('f').then(
    () => undefined,
    () => undefined,
  )
  ;[1].forEach(async () => {
    await readFile('g')
  })
  switch (kind) {
    case 'put':
      return 1
    case 'del':
      return 2
  }
  return 3
}
`

describe('promises and switches', () => {
  it('the compiler finds every promise that is dropped, our own and those of packages', () => {
    const lines = plant((root) => findFloatingPromises(root).map(({ line }) => line))
    expect(lines).toEqual([8, 9, 10, 11, 12])
  })

  it('finds none in this project', () => {
    expect(findFloatingPromises(projectRoot)).toEqual([])
  })

  it('Biome finds floating and misused promises and switches that miss a case', () => {
    const report = plant((root) => {
      const biome = join(projectRoot, 'node_modules/@biomejs/biome/bin/biome')
      const args = [biome, 'lint', '--reporter=json', 'src']
      return spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' }).stdout
    })
    const rules = new Set(report.match(/lint\/\w+\/\w+/g))
    expect(rules).toContain('lint/nursery/noFloatingPromises')
    expect(rules).toContain('lint/nursery/noMisusedPromises')
    expect(rules).toContain('lint/nursery/useExhaustiveSwitchCases')
  })
})

function plant<T>(use: (root: string) => T): T {
  const files = {
    'src/planted.ts': planted,
    'biome.json': readFileSync(join(projectRoot, 'biome.json'), 'utf8'),
    'tsconfig.json': readFileSync(join(projectRoot, 'tsconfig.json'), 'utf8'),
  }
  return withFilesAndPackages(files, use)
}
