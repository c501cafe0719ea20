import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { expectStory, finish, isAlive, processes, startDemo } from '../e2e/demo-process.ts'

let temporary: string

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'comio-demo-test-'))
})

afterEach(() => rm(temporary, { recursive: true, force: true }))

test('the whole demo ends with two equal sites, says so in its last line, and leaves nothing behind', async () => {
  const finished = await finish(startDemo(temporary))
  expectStory(finished)
  const { stdout } = finished
  expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^equal: /)
  expect(processes(stdout).filter(isAlive)).toEqual([])
  expect(await readdir(temporary)).toEqual([])
})
