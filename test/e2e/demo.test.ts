import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const binPath = fileURLToPath(new URL('../../bin/comio', import.meta.url))

interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

let temporary: string

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'comio-demo-test-'))
})

afterEach(() => rm(temporary, { recursive: true, force: true }))

/** The demo with a temporary folder of its own, so that what it leaves there can be counted. */
function startDemo(...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [binPath, 'demo', ...args], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function finish(demo: ChildProcess): Promise<Finished> {
  const { stdout, stderr } = demo
  if (stdout === null || stderr === null) throw new Error('the demo has no output')
  const [out, err, [code]] = await Promise.all([text(stdout), text(stderr), once(demo, 'close')])
  return { code, stdout: out, stderr: err }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const processes = (said: string): number[] =>
  [...said.matchAll(/process (\d+)/g)].map((match) => Number(match[1]))

describe('comio demo', () => {
  test('ends with two equal sites, says so in its last line, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await finish(startDemo())
    expect(stdout.trimEnd().split('\n').at(-1), stderr).toMatch(
      /^equal: \d+ objects, \d+ bytes, \d+ s, lag p50 [\d.]+ m?s p99 [\d.]+ m?s, 0 differences$/,
    )
    expect(code).toBe(0)
    expect(stdout).toContain('B is killed (kill -9)')
    expect(stdout).toMatch(/B has everything up to seq \d+, checked just now/)
    expect(stdout).toMatch(/below 1 MB .*10-50 ms/)
    expect(processes(stdout).filter(isAlive)).toEqual([])
    expect(await readdir(temporary)).toEqual([])
  }, 180_000)

  test.each(['SIGINT', 'SIGKILL'] as const)(
    '%s in the middle leaves no process and no folder behind',
    async (signal) => {
      const demo = startDemo('--quick')
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
        { timeout: 20_000 },
      )
    },
    120_000,
  )

  test('--keep leaves both sites running, with what is needed to use and to stop them', async () => {
    const { code, stdout } = await finish(startDemo('--keep', '--quick'))
    expect(code).toBe(0)
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
        { timeout: 10_000 },
      )
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGTERM')
    }
    await vi.waitUntil(() => !pids.some(isAlive), { timeout: 20_000 })
  }, 180_000)
})
