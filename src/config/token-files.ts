/** Reads the files that hold tokens: one line each, the token or its hash. */
import type { ConfigKey } from './config-keys.ts'
import { secretOrHash } from './schema-parts.ts'
import type { ConfigValues } from './server-config.ts'
import { type AcceptEntry, acceptEntryOf } from './tokens.ts'

export interface TokenFileReader {
  readonly absolute: (path: string) => string
  readonly readFile: (path: string) => Promise<string>
  /** Why a file cannot be read, in words. */
  readonly explain: (error: unknown) => string
}

export interface TokenFileFinding {
  readonly key: ConfigKey
  readonly path: readonly (string | number)[]
  readonly sentence: string
}

export interface FilledTokens {
  readonly values: ConfigValues
  readonly findings: readonly TokenFileFinding[]
}

/** The values with every token in its place, and what is wrong with the files. */
export async function fillTokenFiles(
  values: ConfigValues,
  reader: TokenFileReader,
): Promise<FilledTokens> {
  const findings: TokenFileFinding[] = []
  const fill = async <T extends AcceptEntry>(
    key: ConfigKey,
    position: number,
    entry: T,
  ): Promise<T> => {
    if (entry.tokenFile === undefined) return entry
    const label = `${key}[${position}].token_file is ${entry.tokenFile}`
    const tokenFile = reader.absolute(entry.tokenFile)
    const found = await readToken(tokenFile, reader)
    if (found.token !== undefined) return { ...entry, tokenFile, token: found.token }
    const sentence = `${label}, but ${found.why}`
    findings.push({ key, path: [position, 'token_file'], sentence })
    return entry
  }
  const auth = await Promise.all(
    (values['auth.tokens'] ?? []).map((entry, at) => fill('auth.tokens', at, entry)),
  )
  const accepted = await Promise.all(
    (values['replication.accept_tokens'] ?? []).map((entry, at) =>
      typeof entry === 'string'
        ? entry
        : fill('replication.accept_tokens', at, acceptEntryOf(entry)),
    ),
  )
  const filled = {
    ...values,
    ...(values['auth.tokens'] === undefined ? {} : { 'auth.tokens': auth }),
    ...(values['replication.accept_tokens'] === undefined
      ? {}
      : { 'replication.accept_tokens': accepted }),
  }
  return { values: filled, findings }
}

async function readToken(
  path: string,
  { readFile, explain }: TokenFileReader,
): Promise<{ readonly token: string } | { readonly token?: undefined; readonly why: string }> {
  try {
    const parsed = secretOrHash().safeParse((await readFile(path)).trim())
    if (parsed.success) return { token: parsed.data }
    return { why: 'its content must be one line with a token of visible ASCII characters' }
  } catch (error) {
    return { why: `cannot be read: ${explain(error)}` }
  }
}
