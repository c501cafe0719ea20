import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { projectRoot } from './planted-project.ts'

/** The promises of docs/architecture.md, each on one line. */
function sentences(): readonly string[] {
  const text = readFileSync(join(projectRoot, 'docs/architecture.md'), 'utf8')
  const [, section = ''] = text.split('## Consistency, in sentences that tests check\n')
  const list = section.split('\n\n').find((paragraph) => paragraph.trim().startsWith('1. ')) ?? ''
  return list
    .trim()
    .split(/\n(?=\d+\. )/)
    .map((entry) => entry.replace(/^\d+\. /, '').replace(/\n\s*/g, ' '))
}

/** The names of the tests in a folder, in the order of their files. */
function testNames(folder: string): readonly string[] {
  const path = join(projectRoot, folder)
  const files = readdirSync(path).filter((name) => name.endsWith('.test.ts'))
  const text = files.map((name) => readFileSync(join(path, name), 'utf8')).join('\n')
  const found = text.matchAll(/^\s*(?:test|it)\(\s*(?:'(.*?)'|"(.*?)"),/gm)
  return [...found].map(([, single, double]) => single ?? double ?? '')
}

describe('the sentences of the architecture', () => {
  it('are the names of the tests that prove them, all eight', () => {
    expect(sentences()).toHaveLength(8)
    expect(testNames('test/promises')).toEqual(sentences())
  })
})
