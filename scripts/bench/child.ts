/** Processes that a benchmark starts, and that end with it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { endWithThis } from './endings.ts'

export interface Child {
  readonly pid: number
  stop(): Promise<void>
  /** As a power cut would: nothing of its own runs any more. */
  kill(): Promise<void>
}

/**
 * Starts a process and waits for the first line of its stdout from which `find` finds something.
 * @throws when it ends before, with what it wrote last
 */
export async function startChild<T>(
  command: readonly [string, ...string[]],
  find: (line: string) => T | undefined,
): Promise<Child & { readonly found: T }> {
  const [file, ...args] = command
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  endWithThis(child)
  let last = ''
  for await (const line of createInterface({ input: child.stdout })) {
    last = line
    const found = find(line)
    if (found === undefined) continue
    // What it goes on saying must not fill the pipe.
    child.stdout.resume()
    return {
      found,
      pid: child.pid ?? 0,
      stop: () => end(child, 'SIGTERM'),
      kill: () => end(child, 'SIGKILL'),
    }
  }
  throw new Error(`${command.join(' ')} ended early: ${last}`)
}

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

/** Runs a program to its end and returns what it printed. @throws unless it exits with 0 */
export async function run(command: readonly [string, ...string[]]): Promise<string> {
  const [file, ...args] = command
  const child = endWithThis(spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] }))
  let printed = ''
  let complaint = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command.join(' ')} failed: ${complaint || printed}`)
  return printed
}
