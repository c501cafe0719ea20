/** The demo as a process, and what must be true once it has ended well. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const binPath = fileURLToPath(new URL('../../bin/comio', import.meta.url))

interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The demo with a temporary folder of its own, so that what it leaves there can be counted. */
export function startDemo(temporary: string, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [binPath, 'demo', ...args], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export async function finish(demo: ChildProcess): Promise<Finished> {
  const { stdout, stderr } = demo
  if (stdout === null || stderr === null) throw new Error('the demo has no output')
  const [out, err, [code]] = await Promise.all([text(stdout), text(stderr), once(demo, 'close')])
  return { code, stdout: out, stderr: err }
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The ids of the processes that a demo has told of. */
export const processes = (said: string): number[] =>
  [...said.matchAll(/process (\d+)/g)].map((match) => Number(match[1]))

/** It ends with two equal sites, and tells how it came to that. */
export function expectStory({ code, stdout, stderr }: Finished): void {
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(
    /^equal: \d+ objects, \d+ bytes, \d+ s, lag p50 [\d.]+ m?s p99 [\d.]+ m?s, 0 differences$/m,
  )
  expect(stdout).toContain('B is killed (kill -9)')
  expect(stdout).toMatch(/B has everything up to seq \d+, checked just now/)
  expect(stdout).toMatch(/below 1 MB .*10-50 ms/)
}
