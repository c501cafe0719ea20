import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { houseRules } from '../../scripts/tidy/house-rules.ts'
import { type Project, readProject } from '../../scripts/tidy/project.ts'
import { describeAll } from './planted-project.ts'

describe('the house rules hold in this project', () => {
  let project: Project

  beforeAll(() => {
    project = readProject(join(import.meta.dirname, '..', '..'))
  })

  it('looks at the whole project', () => {
    const folders = new Set(project.files.map(({ path }) => path.split('/')[0]))
    expect([...folders].sort()).toEqual(['commands', 'scripts', 'src', 'test'])
  })

  for (const [rule, check] of Object.entries(houseRules)) {
    it(rule, () => {
      expect(describeAll(check, project)).toEqual([])
    })
  }
})
