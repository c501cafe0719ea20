import { describe, expect, it } from 'vitest'
import { checkLayers, importsOf } from '../../scripts/tidy/layers.ts'
import { readProject } from '../../scripts/tidy/project.ts'
import { found, withFiles } from './planted-project.ts'

describe('layers', () => {
  it('lets an import point down and within a folder', () => {
    const files = {
      'src/base/log.ts': 'export const a = 1',
      'src/volume/segment.ts': `import { a } from '../base/log.ts'`,
      'src/volume/volume.ts': `import './segment.ts'\nimport { open } from 'node:fs'\nimport 'pino'`,
      'src/sim/sim-site.ts': `import '../volume/volume.ts'`,
      'commands/server.ts': `import '../src/volume/volume.ts'`,
      'test/sim.test.ts': `import '../src/sim/sim-site.ts'`,
    }
    expect(found(checkLayers, files)).toEqual([])
  })

  it('reports an import that points up', () => {
    const files = {
      'src/base/log.ts': `\nimport { Volume } from '../volume/volume.ts'`,
      'src/volume/volume.ts': 'export class Volume {}',
    }
    expect(found(checkLayers, files)).toEqual([
      'src/base/log.ts:2 base (rank 0) may not import volume (rank 2): src/volume/volume.ts',
    ])
  })

  it('reports an import of a sibling of the same rank, and of one command by another', () => {
    const files = {
      'src/s3/handler.ts': `import '../replication/sender.ts'`,
      'commands/a.ts': `import './b.ts'`,
    }
    expect(found(checkLayers, files)).toEqual([
      expect.stringContaining(
        'src/s3/handler.ts:1 s3 (rank 4) may not import replication (rank 4)',
      ),
      'commands/a.ts:1 commands (rank 8) may not import commands (rank 8): commands/b.ts',
    ])
  })

  const forms = {
    'an import for its effect': `import '../server/server.ts'`,
    'a type import': `import type { A } from '../server/server.ts'`,
    'an inline type': `export type B = import('../server/server.ts').A`,
    'a re-export': `export { a } from '../server/server.ts'`,
    'a re-export of all': `export * from '../server/server.ts'`,
    'a dynamic import': `export const f = async () => (await import('../server/server.ts')).a`,
    'a dynamic import of a template': 'export const f = () => import(`../server/server.ts`)',
    'an import over several lines': `import {\n  a,\n  b\n} from\n '../server/server.ts'`,
  }
  for (const [name, text] of Object.entries(forms)) {
    it(`sees ${name}`, () => {
      expect(found(checkLayers, { 'src/store/object-store.ts': text })).toEqual([
        expect.stringContaining('store (rank 3) may not import server (rank 6)'),
      ])
    })
  }

  it('is not fooled by comments and strings', () => {
    const text = `// import '../server/server.ts'\nconst s = "import '../server/server.ts'" /* export * from '../server/a.ts' */`
    expect(found(checkLayers, { 'src/base/log.ts': text })).toEqual([])
  })

  it('reports a computed import, which it could not check', () => {
    const text = 'export const load = (name: string) => import(name)'
    expect(found(checkLayers, { 'src/base/log.ts': text })).toEqual([
      expect.stringContaining('computed path'),
    ])
  })

  it('lets nobody but tests import the simulation, which sees ranks 0 to 4', () => {
    const files = {
      'src/server/server.ts': `import '../sim/sim-site.ts'`,
      'src/sim/sim-site.ts': `import '../admin/client.ts'\nimport '../replication/sender.ts'`,
    }
    expect(found(checkLayers, files)).toEqual([
      expect.stringContaining('server (rank 6) may not import sim'),
      expect.stringContaining('sim (beside the ranks) may not import admin (rank 5)'),
    ])
  })

  it('reports what lies in no layer, and imports of it', () => {
    const files = {
      'src/loose.ts': '',
      'src/misc/thing.ts': '',
      'src/base/log.ts': `import '../../test/fixture.ts'`,
    }
    expect(found(checkLayers, files)).toEqual([
      expect.stringContaining('src/loose.ts:0 is in no layer'),
      expect.stringContaining('src/misc/thing.ts:0 is in no layer'),
      expect.stringContaining('src/base/log.ts:1 imports test/fixture.ts, which is in no layer'),
    ])
  })

  it('reports a circle of imports, types included, once', () => {
    const files = {
      'src/base/a.ts': `import type { B } from './b.ts'`,
      'src/base/b.ts': `import './c.ts'`,
      'src/base/c.ts': `export * from './a.ts'`,
      'src/base/d.ts': `import './a.ts'`,
    }
    expect(found(checkLayers, files)).toEqual([
      'src/base/a.ts:0 is in a circle of imports: src/base/a.ts, src/base/b.ts, src/base/c.ts',
    ])
  })

  it('reports a circle of folders in a layer, where no file is in one', () => {
    const files = {
      'src/store/feed/a.ts': `import '../space/b.ts'`,
      'src/store/space/b.ts': `import { d } from '../model/d.ts'`,
      'src/store/space/c.ts': `import '../feed/e.ts'`,
      'src/store/feed/e.ts': '',
      'src/store/model/d.ts': '',
    }
    expect(found(checkLayers, files)).toEqual([
      'src/store/feed:0 is in a circle of imports: src/store/feed, src/store/space',
    ])
  })

  it('takes a file directly in a layer for itself: over the folders, or known to them', () => {
    const files = {
      'src/store/engine.ts': `import './feed/a.ts'`,
      'src/store/feed/a.ts': `import '../errors.ts'`,
      'src/store/errors.ts': '',
    }
    expect(found(checkLayers, files)).toEqual([])
  })

  it('finds the imports of a real file', () => {
    const text = `import { a } from '../base/a.ts'\nimport x from 'x'\nexport {}`
    withFiles({ 'src/store/b.ts': text }, (root) => {
      const [file] = readProject(root).files
      const imports = file === undefined ? [] : importsOf(file)
      expect(imports.map(({ target }) => target)).toEqual(['src/base/a.ts', undefined])
    })
  })
})
