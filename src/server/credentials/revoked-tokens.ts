/**
 * The tokens that were revoked at run time, in a small file of the volume. Not in the log or
 * the index: a revocation is this site's own and must reach no other one, must hold before the store
 * is open and when it is full or read-only, and must outlive an index that is built anew. The file
 * names tokens by their SHA-256, so that renaming an entry of the configuration does not bring one
 * back. A file that cannot be read keeps the site from starting: it would let somebody in again.
 */
import { z } from 'zod'
import { messageOf } from '../../base/errors.ts'
import { SerialQueue } from '../../base/serial-queue.ts'
import type { SmallFiles } from '../../device/small-files.ts'
import { RevocationNotKeptError, RevokedTokensUnreadableError } from '../errors.ts'
import type { Revocations } from './token-table.ts'

export interface RevokedToken {
  readonly sha256: string
  /** As it was called then. */
  readonly name: string
  /** ISO 8601. */
  readonly time: string
}

/** More than anybody revokes: none is ever forgotten, so there must be an end. */
const revokedMax = 10_000
export const revokedTokensFile = 'revoked-tokens.json'

const schema = z.object({
  format: z.literal(1),
  revoked: z.array(
    z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), name: z.string(), time: z.string() }),
  ),
})

export class RevokedTokens implements Revocations {
  readonly #files: SmallFiles
  readonly #byDigest: Map<string, RevokedToken>
  readonly #writes = new SerialQueue()
  readonly #onRevoked: () => void

  private constructor(
    files: SmallFiles,
    { onRevoked, revoked }: { onRevoked: () => void; revoked: readonly RevokedToken[] },
  ) {
    this.#files = files
    this.#onRevoked = onRevoked
    this.#byDigest = new Map(revoked.map((token) => [token.sha256, token]))
  }

  /**
   * @param onRevoked called when a token was revoked, before that is answered
   * @throws RevokedTokensUnreadableError
   */
  static async open(
    files: SmallFiles,
    onRevoked: () => void = () => undefined,
  ): Promise<RevokedTokens> {
    try {
      const text = await files.read(revokedTokensFile)
      const revoked = text === undefined ? [] : schema.parse(JSON.parse(text)).revoked
      return new RevokedTokens(files, { onRevoked, revoked })
    } catch (cause) {
      const reason = cause instanceof z.ZodError ? 'it is not what ComIO wrote' : messageOf(cause)
      throw new RevokedTokensUnreadableError(
        `the list of revoked tokens cannot be read: ${reason}`,
        {
          hint: 'Restore the file, or remove it once no token that it revoked is configured any more.',
          facts: { path: files.where(revokedTokensFile) },
          cause,
        },
      )
    }
  }

  digests(): readonly string[] {
    return [...this.#byDigest.keys()]
  }

  has(digest: string): boolean {
    return this.#byDigest.has(digest)
  }

  timeOf(digest: string): string | undefined {
    return this.#byDigest.get(digest)?.time
  }

  /**
   * From this call on the token is refused; resolves once that is on the disk.
   *
   * @throws RevocationNotKeptError when the token is refused until the next start only
   */
  async add(token: RevokedToken): Promise<void> {
    if (!this.#byDigest.has(token.sha256)) this.#byDigest.set(token.sha256, token)
    this.#onRevoked()
    if (this.#byDigest.size > revokedMax) {
      throw notKept(`${revokedMax} tokens are revoked already`)
    }
    try {
      await this.#writes.run(() => this.#write())
    } catch (cause) {
      throw notKept(messageOf(cause), cause)
    }
  }

  async #write(): Promise<void> {
    const document = { format: 1, revoked: [...this.#byDigest.values()] }
    await this.#files.replace(revokedTokensFile, `${JSON.stringify(document, null, 1)}\n`)
  }
}

function notKept(reason: string, cause?: unknown): RevocationNotKeptError {
  return new RevocationNotKeptError(
    `the token is refused from now on, but only until the next start: ${reason}`,
    { hint: "Take it out of the site's configuration.", cause },
  )
}
