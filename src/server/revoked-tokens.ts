/**
 * The tokens that were revoked at run time, in a small file of the volume's folder. Not in the log or
 * the index: a revocation is this site's own and must reach no other one, must hold before the store
 * is open and when it is full or read-only, and must outlive an index that is built anew. The file
 * names tokens by their SHA-256, so that renaming an entry of the configuration does not bring one
 * back. A file that cannot be read keeps the site from starting: it would let somebody in again.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { messageOf, systemCodeOf } from '../base/errors.ts'
import { syncFolder } from '../device/file-calls.ts'
import { SerialQueue } from '../volume/serial-queue.ts'
import { RevocationNotKeptError, RevokedTokensUnreadableError } from './errors.ts'
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
  readonly #folder: string
  readonly #byDigest: Map<string, RevokedToken>
  readonly #writes = new SerialQueue()

  private constructor(folder: string, revoked: readonly RevokedToken[]) {
    this.#folder = folder
    this.#byDigest = new Map(revoked.map((token) => [token.sha256, token]))
  }

  /** @throws RevokedTokensUnreadableError */
  static async open(folder: string): Promise<RevokedTokens> {
    const path = join(folder, revokedTokensFile)
    try {
      const { revoked } = schema.parse(JSON.parse(await readFile(path, 'utf8')))
      return new RevokedTokens(folder, revoked)
    } catch (cause) {
      if (systemCodeOf(cause) === 'ENOENT') return new RevokedTokens(folder, [])
      const reason = cause instanceof z.ZodError ? 'it is not what ComIO wrote' : messageOf(cause)
      throw new RevokedTokensUnreadableError(
        `the list of revoked tokens cannot be read: ${reason}`,
        {
          hint: 'Restore the file, or remove it once no token that it revoked is configured any more.',
          facts: { path },
          cause,
        },
      )
    }
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
    if (this.#byDigest.size > revokedMax) {
      throw notKept(`${revokedMax} tokens are revoked already`)
    }
    try {
      await this.#writes.run(() => this.#write())
    } catch (cause) {
      throw notKept(messageOf(cause), cause)
    }
  }

  /** A whole new file takes the old one's place, so that a crash leaves one of the two. */
  async #write(): Promise<void> {
    const path = join(this.#folder, revokedTokensFile)
    const document = { format: 1, revoked: [...this.#byDigest.values()] }
    const file = await open(`${path}.tmp`, 'w', 0o600)
    try {
      await file.writeFile(`${JSON.stringify(document, null, 1)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.tmp`, path)
    await syncFolder(this.#folder)
  }
}

function notKept(reason: string, cause?: unknown): RevocationNotKeptError {
  return new RevocationNotKeptError(
    `the token is refused from now on, but only until the next start: ${reason}`,
    { hint: "Take it out of the site's configuration.", cause },
  )
}
