/**
 * Where the engine's thread answers what HTTP threads pass on: a socket in a folder that nobody else may enter,
 * so that whoever comes this way is one of them and has been through TLS, where there is any.
 */
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { ListenFailedError } from '../errors.ts'
import { headerBytesMax, Listener, type RequestHandler } from '../listener/listener.ts'

/** Longer than an HTTP thread keeps an idle connection, so that it is never this side that closes one. */
const keepAliveMs = 60_000
/** More than an HTTP thread takes: it adds headers of its own, and writes each with a space behind the colon. */
const passedHeaderBytesMax = 2 * headerBytesMax

/** So much of the id of a volume tells it from all others of a machine, and leaves the path short. */
const idLength = 12

/** What the system has room for, and cuts off silently or refuses without a reason. */
const pathBytesMax = process.platform === 'linux' ? 107 : 103
const hint =
  'Set TMPDIR to a folder where this user may write, with a short path, or server.threads to 1.'

export class EngineSocket {
  readonly path: string
  readonly #folder: string
  readonly #listener: Listener

  private constructor(folder: string, path: string, listener: Listener) {
    this.#folder = folder
    this.path = path
    this.#listener = listener
  }

  /** @param volumeId of a volume that this process has locked. @throws ListenFailedError */
  static async open(volumeId: string, logger: Logger): Promise<EngineSocket> {
    const prefix = `comio-${volumeId.slice(0, idLength)}-`
    const parent = tmpdir()
    await removeLeftovers(parent, { prefix, logger })
    const folder = await makeFolder(parent, prefix)
    const path = join(folder, 'engine')
    try {
      if (Buffer.byteLength(path) > pathBytesMax) throw pathTooLong(path)
      const limits = { keepAliveMs, headerBytesMax: passedHeaderBytesMax }
      const listener = await Listener.open({ address: { path }, logger, limits })
      return new EngineSocket(folder, path, listener)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  serve(handle: RequestHandler): void {
    this.#listener.serve(handle)
  }

  async close(): Promise<void> {
    await this.#listener.close(0)
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** What a process of this volume left that was killed: there is no other one, or it would have the lock. */
async function removeLeftovers(
  parent: string,
  { prefix, logger }: { readonly prefix: string; readonly logger: Logger },
): Promise<void> {
  try {
    for (const name of await readdir(parent)) {
      if (!name.startsWith(prefix)) continue
      const folder = join(parent, name)
      const found = await lstat(folder)
      // A name is anybody's to take: what is removed is a folder of this user.
      const isOwn = found.isDirectory() && found.uid === process.getuid?.()
      if (isOwn) await rm(folder, { recursive: true, force: true })
    }
  } catch (error) {
    // It is in nobody's way.
    logger.debug({ folder: parent, error: messageOf(error) }, 'Old sockets could not be removed')
  }
}

async function makeFolder(path: string, prefix: string): Promise<string> {
  try {
    // For this user alone.
    return await mkdtemp(join(path, prefix))
  } catch (cause) {
    const facts = { path }
    throw new ListenFailedError(`no folder can be made in ${path}: ${messageOf(cause)}`, {
      ...{ hint, facts, cause },
    })
  }
}

function pathTooLong(path: string): ListenFailedError {
  const facts = { path }
  return new ListenFailedError(`the path of a socket is too long: ${path}`, { hint, facts })
}
