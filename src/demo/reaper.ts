/**
 * A process beside the demo that outlives it by a moment: when the demo is gone, however that came
 * about (kill -9 included), it ends the sites and removes the folder. It listens on a pipe that
 * the system closes with the demo, and sits in a session of its own, so that Ctrl-C spares it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { assert } from '../base/assert.ts'
import { systemCodeOf } from '../base/errors.ts'

type Order = 'watch' | 'forget' | 'dismiss'

/** The demo's end of the pipe. */
export class Reaper {
  readonly #process: ChildProcess

  private constructor(process: ChildProcess) {
    this.#process = process
  }

  /** @param folder removed with everything in it when the demo is gone */
  static start(folder: string): Reaper {
    const program = fileURLToPath(import.meta.url)
    const reaper = spawn(process.execPath, [program, folder], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    // Without a reaper the demo still cleans up behind itself, unless it is killed.
    reaper.on('error', () => undefined)
    reaper.stdin?.on('error', () => undefined)
    return new Reaper(reaper)
  }

  watch(pid: number): void {
    this.#tell('watch', pid)
  }

  forget(pid: number): void {
    this.#tell('forget', pid)
  }

  /** Everything stays as it is: the demo has cleaned up itself, or wants its sites to go on. */
  async dismiss(): Promise<void> {
    const { exitCode, signalCode, stdin, pid } = this.#process
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    const exit = once(this.#process, 'exit')
    this.#tell('dismiss', 0)
    stdin?.end()
    await exit
  }

  #tell(order: Order, pid: number): void {
    this.#process.stdin?.write(`${order} ${pid}\n`)
  }
}

async function reap(folder: string): Promise<void> {
  const pids = new Set<number>()
  for await (const line of createInterface({ input: process.stdin })) {
    const [order, pid] = line.split(' ')
    if (order === 'watch') pids.add(Number(pid))
    if (order === 'forget') pids.delete(Number(pid))
    if (order === 'dismiss') return
  }
  for (const pid of pids) await killAndWait(pid)
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}

async function killAndWait(pid: number): Promise<void> {
  assert(Number.isSafeInteger(pid) && pid > 1, 'only the demo tells which processes to end')
  for (let attempt = 0; attempt < 500 && signalProcess(pid, 'SIGKILL'); attempt++) await sleep(10)
}

/** Whether there was such a process. */
function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (systemCodeOf(error) === 'ESRCH') return false
    throw error
  }
}

if (import.meta.main) {
  const [, , folder] = process.argv
  assert(folder !== undefined, 'the reaper is told its folder')
  await reap(folder)
}
