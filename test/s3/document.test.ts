import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { S3Error, type S3ErrorCode } from '../../src/s3/errors.ts'

const root = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const document = read('docs/s3.md')

/** First cells of the table under a heading, with the cell that follows. */
function rowsUnder(heading: string): readonly (readonly [string, string])[] {
  const section = document.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/^\| `?(\w+)`? \| ([^|]*?) \|/gm)]
    .map(([, first = '', second = '']) => [first, second] as const)
    .slice(1)
}

describe('docs/s3.md', () => {
  it('names every error code with its status, and no other', () => {
    const source =
      read('src/s3/errors.ts').split('const kinds = {')[1]?.split('} as const')[0] ?? ''
    const codes = [...source.matchAll(/^ {2}(\w+): \{/gm)].map(([, code]) => code as S3ErrorCode)
    expect(codes.length).toBeGreaterThan(20)
    const documented = rowsUnder('Errors').map(([code, status]) => `${code} ${status}`)
    expect([...documented].sort()).toEqual(
      codes.map((code) => `${code} ${new S3Error(code).status}`).sort(),
    )
  })

  it('names every operation that is done, and no other', () => {
    const source = read('src/s3/operation.ts')
    const shapes = source.split('interface OperationShapes {')[1]?.split('}')[0] ?? ''
    const names = [...shapes.matchAll(/readonly (\w+):/g)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(10)
    expect(
      rowsUnder('Operations')
        .map(([name]) => name)
        .sort(),
    ).toEqual(names.sort())
  })
})
