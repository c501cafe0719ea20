import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { expectStory, finish, isAlive, processes, startDemo } from './demo-process.ts'

let temporary: string

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'comio-demo-test-'))
})

afterEach(() => rm(temporary, { recursive: true, force: true }))

describe('comio demo', () => {
  test.each(['SIGINT', 'SIGKILL'] as const)(
    '%s in the middle leaves no process and no folder behind',
    async (signal) => {
      const demo = startDemo(temporary, '--quick')
      let said = ''
      demo.stdout?.on('data', (chunk) => {
        said += String(chunk)
      })
      await vi.waitUntil(() => said.includes('From an answered PUT'), { timeout: 60_000 })
      expect(processes(said)).toHaveLength(2)
      demo.kill(signal)
      const [code] = await once(demo, 'close')
      if (signal === 'SIGINT') expect(code).toBe(1)
      await vi.waitUntil(
        async () => !processes(said).some(isAlive) && (await readdir(temporary)).length === 0,
        { timeout: 60_000 },
      )
    },
  )

  /** Without --keep, and not --quick: `npm run test:large`. */
  test('ends with two equal sites, and --keep leaves both running, with what is needed to use and to stop them', async () => {
    const finished = await finish(startDemo(temporary, '--keep', '--quick'))
    expectStory(finished)
    const { stdout } = finished
    const kept = stdout.slice(stdout.indexOf('Both sites keep running'))
    const pids = processes(kept).slice(0, 2)
    try {
      const [a, b] = [...kept.matchAll(/site [AB] {2}(http\S+)/g)].map((match) => match[1])
      const [folder = ''] = await readdir(temporary)
      const token = (await readFile(join(temporary, folder, 'admin.token'), 'utf8')).trim()
      const headers = { authorization: `Bearer ${token}` }
      const put = await fetch(`${a}/mybucket/myfile`, { method: 'PUT', body: 'hello', headers })
      expect(put.status).toBe(200)
      await vi.waitUntil(
        async () => (await (await fetch(`${b}/mybucket/myfile`, { headers })).text()) === 'hello',
        { timeout: 60_000 },
      )
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGTERM')
    }
    await vi.waitUntil(() => !pids.some(isAlive), { timeout: 60_000 })
  })
})
