/**
 * What a benchmark leaves when it is stopped: nothing. Its children are killed and its folders removed, however
 * the process ends that can still do something about it.
 */
import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { constants } from 'node:os'

const children = new Set<ChildProcess>()
const folders = new Set<string>()
let isWatching = false

/** Killed when this process ends before it. */
export function endWithThis<T extends ChildProcess>(child: T): T {
  watch()
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** Removed when this process ends, unless it is forgotten before. */
export function removeWithThis(folder: string): void {
  watch()
  folders.add(folder)
}

export function forget(folder: string): void {
  folders.delete(folder)
}

function watch(): void {
  if (isWatching) return
  isWatching = true
  process.once('exit', () => {
    for (const child of children) child.kill('SIGKILL')
    // Who is being killed may still write.
    for (const folder of folders) {
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    }
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
  }
}
