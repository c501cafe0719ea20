import { describe, expect, it } from 'vitest'
import {
  checkCommands,
  checkConsole,
  checkErrorCodes,
  checkExits,
  checkFileNames,
  checkLeftovers,
} from '../../scripts/tidy/conduct.ts'
import { found } from './planted-project.ts'

describe('process.exit', () => {
  it('is reported everywhere but in src/cli', () => {
    const text = 'export const end = () => process.exit(1)'
    const files = { 'src/cli/run.ts': text, 'src/server/server.ts': text, 'commands/demo.ts': text }
    expect(found(checkExits, files)).toEqual([
      'src/server/server.ts:1 uses process.exit',
      'commands/demo.ts:1 uses process.exit',
    ])
  })
})

describe('console', () => {
  it('is reported everywhere but in src/cli and commands', () => {
    const text = 'console.log(1)\nconsole.error(2)'
    const files = { 'src/cli/a.ts': text, 'commands/b.ts': text, 'src/store/c.ts': text }
    expect(found(checkConsole, files)).toEqual([
      'src/store/c.ts:1 uses console.log',
      'src/store/c.ts:2 uses console.error',
    ])
  })

  it('is seen when it is imported', () => {
    const text = `import { log } from 'node:console'`
    expect(found(checkConsole, { 'src/store/c.ts': text })).toEqual([
      'src/store/c.ts:1 imports node:console',
    ])
  })
})

describe('file names', () => {
  it('must say something, in kebab-case', () => {
    const bad = ['src/base/utils.ts', 'src/base/index.ts', 'test/types.ts', 'src/base/logWriter.ts']
    const good = ['src/base/log-writer.ts', 'test/base/log-writer.test.ts', 'src/s3/client.ts']
    const files = Object.fromEntries([...bad, ...good].map((path) => [path, '']))
    const paths = found(checkFileNames, files).map((line) => line.split(':')[0])
    expect(paths.sort()).toEqual(bad.sort())
  })
})

describe('leftovers', () => {
  const putOff = ['TO', 'DO'].join('')

  it('reports work put off and focused tests', () => {
    const files = {
      'src/base/log.ts': `// ${putOff}: later\nconst a = "${putOff}"`,
      'test/log.test.ts': `it.only('a', () => undefined)`,
    }
    expect(found(checkLeftovers, files)).toEqual([
      expect.stringContaining('src/base/log.ts:1 puts work off'),
      'test/log.test.ts:1 uses it.only',
    ])
  })
})

describe('commands', () => {
  const command = 'export default class Server {}\n'

  it('have at most 60 lines', () => {
    const files = {
      'commands/long.ts': `${command}${'\n'.repeat(59)}// end`,
      'commands/a.ts': command,
    }
    expect(found(checkCommands, files)).toEqual([
      'commands/long.ts:0 has 61 lines, a command has at most 60',
    ])
  })

  it('load Ink and React only when they run', () => {
    const files = {
      'commands/a.ts': `import { render } from 'ink'\nimport React from 'react'\n${command}`,
      'commands/b.ts': `import type { Key } from 'ink'\n${command}export const f = 1`,
      'commands/c.ts': `${command}const f = () => import('ink')`,
    }
    expect(found(checkCommands, files)).toEqual([
      'commands/a.ts:1 imports ink at its top',
      'commands/a.ts:2 imports react at its top',
      'commands/b.ts:3 exports more than its command',
    ])
  })

  it('export a command', () => {
    expect(found(checkCommands, { 'commands/a.ts': 'class A {}' })).toEqual([
      'commands/a.ts:0 exports no command',
    ])
  })
})

describe('error codes', () => {
  const errorClass = (code: string) =>
    `export class A extends ComioError { override readonly code = '${code}' }`

  it('are unique, well written and explained in the manual', () => {
    const files = {
      'src/base/errors.ts': errorClass('FIRST_CODE'),
      'src/index/errors.ts': errorClass('SECOND_CODE'),
      'src/store/errors.ts': errorClass('FIRST_CODE'),
      'src/volume/errors.ts': errorClass('thirdCode'),
      'man/comio-errors.7': '.TP\n.B FIRST\\_CODE\nthirdCode',
    }
    expect(found(checkErrorCodes, files)).toEqual([
      'src/index/errors.ts:1 SECOND_CODE is not in man/comio-errors.7',
      'src/store/errors.ts:1 FIRST_CODE is also in src/base/errors.ts',
      'src/volume/errors.ts:1 thirdCode is not in SCREAMING_SNAKE_CASE',
      'src/volume/errors.ts:1 thirdCode is not in man/comio-errors.7',
    ])
  })
})
