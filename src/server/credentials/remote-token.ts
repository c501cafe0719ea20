/** The token for the remote, which a file may hold, and which may change while the site runs. */
import { readFile, stat } from 'node:fs/promises'
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { RemoteConfig } from '../../config/remote-entry.ts'
import type { TokenSource } from '../../replication/http/http-transport.ts'

/** A token and room around it. */
const tokenFileBytesMax = 16 * 1024

type TokenPlace = Pick<RemoteConfig, 'name' | 'token' | 'tokenFile'>

interface TokenOptions {
  readonly logger: Logger
  /** Told of every token before it is used: the log must not show it. */
  readonly onToken: (token: string) => void
}

/** Of all remotes: those that the configuration names, and those that were added at run time. */
export class RemoteTokens {
  readonly #options: TokenOptions
  readonly #configured: ReadonlyMap<RemoteConfig, RemoteToken>
  /** By name: the settings of a remote that was added are exchanged, its source stays. */
  readonly #added = new Map<string, RemoteToken>()

  constructor(remotes: readonly RemoteConfig[], options: TokenOptions) {
    this.#options = options
    this.#configured = new Map(remotes.map((remote) => [remote, new RemoteToken(remote, options)]))
  }

  sourceOf(remote: RemoteConfig): string | TokenSource {
    return this.#configured.get(remote) ?? this.#added.get(remote.name) ?? remote.token ?? ''
  }

  /** Takes over the tokens of those remotes that are configured still, and reads files again. */
  async replace(remotes: readonly RemoteConfig[]): Promise<void> {
    for (const [{ name }, source] of this.#configured) {
      const next = remotes.find((remote) => remote.name === name)
      if (next !== undefined) source.replace(next)
    }
    await Promise.all([...this.#added.values()].map((source) => source.readAgain()))
  }

  /** What a remote that is added at run time, or changed, will show. @throws Error for its file */
  async find({ token, tokenFile }: RemoteConfig): Promise<string> {
    return tokenFile === undefined ? (token ?? '') : await readToken(tokenFile)
  }

  /** Shows the token from the next request on, in the links that there are, too. */
  put(remote: RemoteConfig, token: string): void {
    const { name, tokenFile } = remote
    const place = { name, token, tokenFile }
    const source = this.#added.get(name)
    if (source === undefined) this.#added.set(name, new RemoteToken(place, this.#options))
    else source.replace(place)
  }

  /** One of an earlier run. A file that is of no use now is read again when the remote refuses. */
  async recall(remote: RemoteConfig): Promise<void> {
    this.put(remote, remote.token ?? '')
    await this.#added.get(remote.name)?.readAgain()
  }

  forget(name: string): void {
    this.#added.delete(name)
  }
}

class RemoteToken implements TokenSource {
  readonly #logger: Logger
  readonly #onToken: TokenOptions['onToken']
  #place: TokenPlace
  #token = ''
  #reading: Promise<void> | undefined
  /** The last complaint: a remote that refuses is asked again and again, and so is the file. */
  #complaint: string | undefined

  constructor(place: TokenPlace, options: TokenOptions) {
    this.#place = place
    this.#token = place.token ?? ''
    this.#logger = options.logger.child({ remote: place.name })
    this.#onToken = options.onToken
    if (this.#token !== '') options.onToken(this.#token)
  }

  current(): string {
    return this.#token
  }

  replace(place: TokenPlace): void {
    this.#place = place
    this.#use(place.token ?? '')
  }

  async renew(refused: string): Promise<boolean> {
    if (this.#token === refused) await this.readAgain()
    return this.#token !== refused
  }

  /** Several workers are refused at once; they look once. */
  async readAgain(): Promise<void> {
    const { tokenFile } = this.#place
    if (tokenFile === undefined) return
    this.#reading ??= this.#read(tokenFile).finally(() => {
      this.#reading = undefined
    })
    await this.#reading
  }

  async #read(path: string): Promise<void> {
    try {
      const token = await readToken(path)
      // What was exchanged meanwhile counts.
      if (path === this.#place.tokenFile) this.#use(token)
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

/** @throws Error in words */
async function readToken(path: string): Promise<string> {
  const { size } = await stat(path)
  if (size > tokenFileBytesMax) throw new Error(`it has ${size} bytes, so it holds no token`)
  const token = (await readFile(path, 'utf8')).trim()
  if (/^[\x21-\x7e]{1,512}$/.test(token)) return token
  throw new Error('it holds no token')
}
