/**
 * A named lock on a volume id against a second process on the same machine. The lock is a listening
 * socket: the system gives it up when its holder dies, however it dies. Whoever is refused connects
 * and is told the holder's process id.
 *
 * On Linux the socket has an abstract name and leaves nothing behind. Elsewhere it is a file in the
 * temporary folder, and one that nobody answers on is stale and removed.
 */
import { rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { systemCodeOf } from '../base/errors.ts'
import { VolumeInUseError } from './errors.ts'

/** On a machine with other things to do a process may take seconds to answer. */
const answerTimeoutMs = 10_000
const attemptsMax = 5

export interface VolumeLock {
  release(): Promise<void>
}

export interface VolumeLockOptions {
  /** Or what else tells a volume from all others on this machine. */
  readonly volumeId: string
  /** For the message, where an id says nothing to anybody. */
  readonly what?: string
  readonly clock: Clock
  /** Where the socket file goes; absent on Linux, where none is needed. */
  readonly socketFolder?: string
}

/** @throws VolumeInUseError */
export async function acquireVolumeLock(options: VolumeLockOptions): Promise<VolumeLock> {
  const { volumeId, what, clock } = options
  const path = socketPath(options)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const server = await listen(path)
    if (server !== undefined) return { release: () => closeServer(server) }
    const holder = await askHolder(path, clock)
    if (holder.alive) throw new VolumeInUseError(volumeId, holder.pid, what)
    if (!isAbstract(path)) await rm(path, { force: true })
  }
  throw new VolumeInUseError(volumeId, undefined, what)
}

function socketPath(options: VolumeLockOptions): string {
  const name = `comio-volume-${options.volumeId}`
  if (options.socketFolder !== undefined) return join(options.socketFolder, `${name}.sock`)
  return process.platform === 'linux' ? `\0${name}` : join(tmpdir(), `${name}.sock`)
}

function isAbstract(path: string): boolean {
  return path.startsWith('\0')
}

/** The listening server, or undefined when the name is taken. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      // A client that is gone before it has its answer has no need of it.
      socket.on('error', () => socket.destroy())
      socket.end(`${process.pid}\n`)
    })
    server.once('error', (error) => {
      if (systemCodeOf(error) === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen({ path, exclusive: true }, () => {
      server.unref()
      resolve(server)
    })
  })
}

interface Holder {
  readonly alive: boolean
  readonly pid?: number
}

function askHolder(path: string, clock: Clock): Promise<Holder> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    let answer = ''
    const finish = (holder: Holder): void => {
      timer.cancel()
      socket.destroy()
      resolve(holder)
    }
    // A holder that is stopped still holds: it accepts, but does not answer.
    const timer = clock.after(answerTimeoutMs, () => finish({ alive: true }))
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      answer = (answer + text).slice(0, 32)
    })
    socket.on('end', () => finish(holderFrom(answer)))
    socket.on('error', (error) => finish({ alive: !isGone(error) }))
  })
}

function holderFrom(answer: string): Holder {
  const pid = Number(answer.trim())
  return Number.isInteger(pid) && pid > 0 ? { alive: true, pid } : { alive: true }
}

function isGone(error: unknown): boolean {
  const code = systemCodeOf(error)
  return code === 'ECONNREFUSED' || code === 'ENOENT'
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
