/**
 * Runs a program under `strace` and reads what it did to the files of one folder: every write with its
 * bytes, every sync, every name, in their order over all threads.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export type DiskEvent =
  | { readonly kind: 'open'; readonly fd: number; readonly path: string; readonly flags: string }
  | { readonly kind: 'close'; readonly fd: number }
  /** Without an offset: where the last one ended. */
  | {
      readonly kind: 'write'
      readonly fd: number
      readonly bytes: Buffer
      readonly offset: number | undefined
      readonly thread: string
    }
  /** On a file opened with O_DSYNC, what was written is durable. */
  | { readonly kind: 'write-ends'; readonly thread: string }
  | { readonly kind: 'truncate'; readonly fd: number; readonly size: number }
  /** What was written before it began is durable when it has ended. */
  | { readonly kind: 'sync-begins'; readonly fd: number; readonly thread: string }
  | { readonly kind: 'sync-ends'; readonly thread: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'make-folder'; readonly path: string }
  /** The program has said something. */
  | { readonly kind: 'said'; readonly line: string }

const calls =
  'openat,close,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat2,unlink,unlinkat,rmdir,ftruncate,mkdir'

/** Why this machine cannot trace; undefined when it can. */
export function reasonNotToTrace(): string | undefined {
  if (process.platform !== 'linux')
    return `system calls are traced on Linux, this is ${process.platform}`
  const probe = spawnSync('strace', ['-f', '-e', 'trace=none', process.execPath, '--version'])
  if (probe.error !== undefined) return 'there is no strace on this machine'
  return probe.status === 0 ? undefined : `strace may not trace here: ${probe.stderr}`
}

/** @throws Error when the program fails */
export function traceProgram(args: readonly string[], traceFile: string): readonly DiskEvent[] {
  const trace = ['-f', '-xx', '-s', '4000000', '-o', traceFile, '-e', `trace=${calls}`]
  const run = spawnSync('strace', [...trace, process.execPath, ...args], {
    env: { ...process.env, UV_USE_IO_URING: '0' },
  })
  if (run.status !== 0) throw new Error(`the traced program failed: ${run.stderr}`)
  return parseTrace(readFileSync(traceFile, 'latin1'))
}

function parseTrace(text: string): readonly DiskEvent[] {
  const events: DiskEvent[] = []
  /** Of each thread: the call that has begun and not ended. */
  const running = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    if (rest.startsWith('+++') || rest.startsWith('---') || rest === '') continue
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    if (resumed !== null) {
      events.push(...endOf(`${running.get(thread) ?? ''}${resumed[1]}`, thread))
      continue
    }
    const begun = rest.replace(/ <unfinished \.\.\.>$/, '')
    events.push(...beginningOf(begun, thread))
    if (begun === rest) events.push(...endOf(rest, thread))
    else running.set(thread, begun)
  }
  return events
}

/** What counts from the moment at which the call is made: writes and names may be on the disk by then. */
function beginningOf(call: string, thread: string): DiskEvent[] {
  const [, name, args = ''] = /^(\w+)\((.*)$/.exec(call) ?? []
  const fd = Number.parseInt(args, 10)
  const paths = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((found) => bytesIn(found[1]))
  switch (name) {
    case 'fsync':
    case 'fdatasync':
      return [{ kind: 'sync-begins', fd, thread }]
    case 'close':
      return [{ kind: 'close', fd }]
    case 'write':
    case 'pwrite64':
    case 'writev':
    case 'pwritev': {
      const bytes = Buffer.concat(paths)
      if (fd === 1) return linesIn(bytes)
      const isPlaced = name.startsWith('p')
      const offset = isPlaced ? Number(/, (\d+)(?:\)|$)/.exec(args)?.[1]) : undefined
      return [{ kind: 'write', fd, bytes, offset, thread }]
    }
    case 'rename':
    case 'renameat2':
      return [{ kind: 'rename', from: text(paths[0]), to: text(paths[1]) }]
    case 'unlink':
    case 'unlinkat':
    case 'rmdir':
      return [{ kind: 'remove', path: text(paths[0]) }]
    case 'ftruncate':
      return [{ kind: 'truncate', fd, size: Number(/, (\d+)/.exec(args)?.[1]) }]
    default:
      return []
  }
}

/** What is known only when the call has returned. */
function endOf(call: string, thread: string): DiskEvent[] {
  const [, name, args = '', result = ''] = /^(\w+)\((.*)\) += (-?\d+)/.exec(call) ?? []
  if (Number(result) < 0) return []
  const path = /"((?:\\x[0-9a-f]{2})*)"/.exec(args)
  switch (name) {
    case 'fsync':
    case 'fdatasync':
      return [{ kind: 'sync-ends', thread }]
    case 'write':
    case 'pwrite64':
    case 'writev':
    case 'pwritev':
      return [{ kind: 'write-ends', thread }]
    case 'openat': {
      const flags = args.split(', ')[2] ?? ''
      return [{ kind: 'open', fd: Number(result), path: text(bytesIn(path?.[1])), flags }]
    }
    case 'mkdir':
      return [{ kind: 'make-folder', path: text(bytesIn(path?.[1])) }]
    default:
      return []
  }
}

function bytesIn(escaped = ''): Buffer {
  return Buffer.from(escaped.replaceAll('\\x', ''), 'hex')
}

function text(bytes: Buffer | undefined): string {
  return bytes?.toString() ?? ''
}

function linesIn(bytes: Buffer): DiskEvent[] {
  const lines = bytes.toString().split('\n')
  return lines.filter((line) => line !== '').map((line) => ({ kind: 'said', line }))
}
