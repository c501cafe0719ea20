/** Programs that run to their end: `comio` as it was built, and tools of the machine such as curl. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { buffer, text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export const binPath = fileURLToPath(new URL('../../bin/comio', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** Stdout as it came. */
  readonly bytes: Buffer
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  const child = spawn(program, args, {
    cwd: options.cwd ?? tmpdir(),
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [bytes, stderr, [code]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, stdout: bytes.toString(), stderr, bytes }
}

/** `comio` from dist/, by the Node that runs the tests. */
export function runComio(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return runProgram(process.execPath, [binPath, ...args], options)
}

/** This process's, without settings of ComIO and of the test runner. */
export function plainEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(COMIO_|VITEST|NODE_ENV$|NODE_OPTIONS$)/.test(name),
  )
  return Object.fromEntries(kept.map(([name, value]) => [name, value ?? '']))
}
