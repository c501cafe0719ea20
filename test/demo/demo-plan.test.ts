import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type PlannedWrite, planDemo } from '../../src/demo/demo-plan.ts'
import { GeneratedContent } from '../../src/demo/generated-content.ts'
import { findProjectFiles } from '../../src/demo/project-files.ts'

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'comio-project-'))
})

afterEach(() => rm(root, { recursive: true, force: true }))

describe('findProjectFiles', () => {
  test('finds files in all folders but those that are not the project', async () => {
    for (const folder of ['src/deep', 'node_modules/x', 'dist', '.git', '.build-12', '.ci']) {
      await mkdir(join(root, folder), { recursive: true })
      await writeFile(join(root, folder, 'file'), folder)
    }
    await writeFile(join(root, 'README.md'), 'hello')
    await symlink('/etc/passwd', join(root, 'link'))
    await writeFile(join(root, 'huge'), '')
    await truncate(join(root, 'huge'), 17 * 2 ** 20)
    const files = await findProjectFiles(root)
    expect(files.map(({ key, size }) => [key, size])).toEqual([
      ['.ci/file', 3],
      ['README.md', 5],
      ['src/deep/file', 8],
    ])
    expect(files[2]?.path).toBe(join(root, 'src', 'deep', 'file'))
  })
})

describe.each(['full', 'quick'] as const)('planDemo, %s,', (amount) => {
  const files = Array.from({ length: 30 }, (_, i) => ({ path: `/x/${i}`, key: `${i}.ts`, size: i }))
  const plan = planDemo(files, amount)
  const nameOf = ({ bucket, key }: PlannedWrite): string => `${bucket}/${key}`

  test('writes no key twice within a stage, so that the outcome does not depend on timing', () => {
    for (const stage of [plan.first, plan.second, plan.third, plan.last]) {
      expect(new Set(stage.map(nameOf)).size).toBe(stage.length)
    }
  })

  test('overwrites and deletes what was written before, and writes deleted keys again', () => {
    const before = new Set([...plan.first, ...plan.second].map(nameOf))
    const deletes = plan.third.filter(({ kind }) => kind === 'delete').map(nameOf)
    expect(plan.third.length).toBeGreaterThan(deletes.length)
    expect(deletes.length).toBeGreaterThan(0)
    for (const write of plan.third) expect(before).toContain(nameOf(write))
    const last = new Set(plan.last.map(nameOf))
    expect(deletes.filter((name) => last.has(name)).length).toBeGreaterThan(0)
  })

  test('has every file of the project, many small objects, and large ones among the second stage', () => {
    expect(plan.first.filter(({ bucket }) => bucket === 'project')).toHaveLength(30)
    expect(plan.first.some(({ bucket }) => bucket === plan.purgedBucket)).toBe(true)
    const sizes = plan.second.map((write) => (write.kind === 'put' ? write.size : 0))
    expect(Math.max(...sizes)).toBeGreaterThanOrEqual((amount === 'full' ? 16 : 5) * 2 ** 20)
    expect(Math.min(...sizes)).toBeLessThan(100)
    expect(sizes.length).toBeGreaterThan(amount === 'full' ? 1000 : 250)
  })
})

describe('GeneratedContent', () => {
  const content = new GeneratedContent()
  const bytes = (label: string, size: number): Buffer =>
    Buffer.concat([...content.pieces(label, size)])

  test('has exactly the size wanted, and is the same for the same label', () => {
    for (const size of [0, 1, 5, 100, 2 ** 20, 3 * 2 ** 20 + 7]) {
      expect(bytes('a/b round 1', size)).toHaveLength(size)
      expect(bytes('a/b round 1', size).equals(bytes('a/b round 1', size))).toBe(true)
    }
  })

  test('differs for every label', () => {
    expect(bytes('a/b round 1', 1000).equals(bytes('a/b round 2', 1000))).toBe(false)
  })
})
