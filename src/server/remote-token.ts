/** The token for the remote, which a file may hold, and which may change while the site runs. */
import { readFile, stat } from 'node:fs/promises'
import { rethrowAssertion } from '../base/assert.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { RemoteConfig } from '../config/remote-entry.ts'
import type { TokenSource } from '../replication/http-transport.ts'

/** A token and room around it. */
const tokenFileBytesMax = 16 * 1024

type TokenPlace = Pick<RemoteConfig, 'token' | 'tokenFile'>

interface TokenOptions {
  readonly logger: Logger
  /** Told of every token before it is used: the log must not show it. */
  readonly onToken: (token: string) => void
}

/** Of the remotes that the configuration names. Those added at run time keep the token they came with. */
export class RemoteTokens {
  readonly #sources: ReadonlyMap<RemoteConfig, RemoteToken>

  constructor(remotes: readonly RemoteConfig[], options: TokenOptions) {
    this.#sources = new Map(remotes.map((remote) => [remote, new RemoteToken(remote, options)]))
  }

  sourceOf(remote: RemoteConfig): string | TokenSource {
    return this.#sources.get(remote) ?? remote.token ?? ''
  }

  /** Takes over the tokens of those remotes that are configured still. */
  replace(remotes: readonly RemoteConfig[]): void {
    for (const [{ name }, source] of this.#sources) {
      const next = remotes.find((remote) => remote.name === name)
      if (next !== undefined) source.replace(next)
    }
  }
}

class RemoteToken implements TokenSource {
  readonly #logger: Logger
  readonly #onToken: TokenOptions['onToken']
  #place: TokenPlace
  #token: string
  #reading: Promise<void> | undefined
  /** The last complaint: a remote that refuses is asked again and again, and so is the file. */
  #complaint: string | undefined

  constructor(place: TokenPlace, options: TokenOptions) {
    this.#place = place
    this.#token = place.token ?? ''
    this.#logger = options.logger
    this.#onToken = options.onToken
  }

  current(): string {
    return this.#token
  }

  replace(place: TokenPlace): void {
    this.#place = place
    this.#use(place.token ?? '')
  }

  async renew(refused: string): Promise<boolean> {
    if (this.#token !== refused) return true
    const { tokenFile } = this.#place
    if (tokenFile === undefined) return false
    // Several workers are refused at once; they look once.
    this.#reading ??= this.#read(tokenFile).finally(() => {
      this.#reading = undefined
    })
    await this.#reading
    return this.#token !== refused
  }

  async #read(path: string): Promise<void> {
    try {
      const { size } = await stat(path)
      if (size > tokenFileBytesMax) throw new Error(`it has ${size} bytes, so it holds no token`)
      const token = (await readFile(path, 'utf8')).trim()
      if (/^[\x21-\x7e]{1,512}$/.test(token)) this.#use(token)
      else this.#complain(path, 'it holds no token')
    } catch (error) {
      rethrowAssertion(error)
      this.#complain(path, messageOf(error))
    }
  }

  #complain(path: string, reason: string): void {
    if (reason === this.#complaint) return
    this.#complaint = reason
    this.#logger.warn(
      { path, reason },
      'The file of the remote token is of no use: the old one stays',
    )
  }

  #use(token: string): void {
    this.#complaint = undefined
    if (token === this.#token) return
    this.#onToken(token)
    this.#token = token
    this.#logger.info({}, 'Another token is shown to the remote from now on')
  }
}
