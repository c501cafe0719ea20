/**
 * Where the engine's thread answers what HTTP threads pass on: a socket in a folder that nobody else may enter,
 * so that whoever comes this way is one of them and has been through TLS, where there is any.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '../../base/log.ts'
import { headerBytesMax, Listener, type RequestHandler } from '../listener/listener.ts'

/** Longer than an HTTP thread keeps an idle connection, so that it is never this side that closes one. */
const keepAliveMs = 60_000
/** More than an HTTP thread takes: it adds headers of its own, and writes each with a space behind the colon. */
const passedHeaderBytesMax = 2 * headerBytesMax

export class EngineSocket {
  readonly path: string
  readonly #folder: string
  readonly #listener: Listener

  private constructor(folder: string, path: string, listener: Listener) {
    this.#folder = folder
    this.path = path
    this.#listener = listener
  }

  /** @throws ListenFailedError */
  static async open(logger: Logger): Promise<EngineSocket> {
    // mkdtemp makes it for this user alone.
    const folder = await mkdtemp(join(tmpdir(), 'comio-'))
    const path = join(folder, 'engine')
    try {
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
